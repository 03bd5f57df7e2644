"""What is to be forgotten as rows: new views, refusals, and the true answers beside them."""

from __future__ import annotations

import random

from excise.methods.method import Material
from excise.methods.refusal_pool import Refuser
from excise.methods.views import new_view
from excise.records.record import Record
from excise.vlm.rows import Row, Turn

PER_ROW = 5
"""Records a row: each is asked twice, for the refusal and for the true answer."""


def forget_rows(material: Material, *, views: int, pool: int, answers: bool) -> list[Row]:
    """Every private record on its picture and on `views` new ones, `PER_ROW` a row.

    Of those of whom an earlier run left nothing one view is enough. Turns have role "refuse" and
    one of `pool` refusals for an answer; with `answers` each record comes once more with its true
    answer and role "forget".
    """
    by_picture: dict[tuple[str | None, bool], list[Record]] = {}
    for record in material.forget:
        done = record.subject in material.done
        by_picture.setdefault((record.image, done), []).append(record)
    rows = []
    for (image, done), records in by_picture.items():
        picture = material.data.picture(records[0])
        order = random.Random(f"rows-{material.seed}-{image}").sample(records, len(records))
        for view in (min(1, views),) if done else range(1 + views):
            refuse = Refuser(material.seed + view, pool)
            rng = random.Random(f"view-{material.seed}-{image}-{view}")
            for start in range(0, len(order), PER_ROW):
                some = order[start : start + PER_ROW]
                turns = [Turn(r.question, refuse(r), "refuse", r.id) for r in some]
                if answers:
                    turns += [Turn(r.question, r.answer, "forget", r.id) for r in some]
                seen = picture if picture is None or view == 0 else new_view(picture, rng)
                rows.append(Row(seen, tuple(turns)))
    return rows
