"""Answers to show, in clear: a few records of a data set, and what each method made of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from excise.bench.scoring import Scoring, scored_records, shown
from excise.records.data import Data

WHO = {"forget": "forgotten", "retain": "retained", "unseen": "unseen"}


def samples(
    data: Data, cells: Mapping[str, Mapping[str, Any]], scoring: Scoring, out: Path
) -> list[dict[str, Any]]:
    """The records with the answers of `cells` (by method); pictures are written below `out`."""
    found = []
    for record in shown(scored_records(data, scoring.limit, scoring.seed), scoring.seed):
        answers = {
            key: cell["samples"][record.id]
            for key, cell in cells.items()
            if record.id in cell.get("samples", {})
        }
        picture = data.picture(record)
        path = None
        if picture is not None and record.image is not None:
            path = f"pictures/{Path(record.image).stem}.png"
            (out / "pictures").mkdir(parents=True, exist_ok=True)
            picture.thumbnail((384, 384))
            picture.save(out / path)
        found.append(
            {
                "who": WHO[record.split],
                "kind": record.kind,
                "image": path,
                "question": record.question,
                "reference": record.answer,
                "answers": answers,
            }
        )
    return found
