"""Draw anew who is forgotten and who are the few, on data that was split already.

Splits follow people: of everybody whom the model knows (`forget`, `few`, `retain`), `ratio` percent
are forgotten, as many are the few, and all the others are retained; strangers stay unseen, records
about nobody stay where they are. Only people with private records of both uses can be drawn: some
that may be learnt from, some that are scored. What a person's `use` says is kept: whoever is
retained is only scored, so their records of use "fit" lie idle.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from excise.methods.material import PRIVATE
from excise.records.data import Data
from excise.records.errors import InputError
from excise.records.record import Record, Split

KNOWN: tuple[Split, ...] = ("forget", "few", "retain")


def redraw(data: Data, ratio: int, seed: int) -> Data:
    """`data` with other people to forget: `ratio` percent of those known, chosen by `seed`.

    Raises:
        InputError: nobody is known, or too few of them have records that could be learnt from.
    """
    known: dict[str, list[Record]] = {}
    for record in data.records:
        if record.subject is not None and record.split in KNOWN:
            known.setdefault(record.subject, []).append(record)
    if not known:
        raise InputError(f"{data.folder}: no people (subject) to draw from, expected some")
    ready = sorted(person for person, records in known.items() if _can_be_drawn(records))
    count = max(1, round(len(known) * ratio / 100))
    if len(known) <= 2 * count:
        raise InputError(
            f"{data.folder}: {len(known)} people are known, expected more than {2 * count} for a "
            f"ratio of {ratio} %: {count} forgotten, as many few, somebody retained"
        )
    if len(ready) < 2 * count:
        raise InputError(
            f"{data.folder}: {len(ready)} of {len(known)} people have private records both to "
            f'learn from and to score (use neither all "fit" nor all "score"), expected '
            f"{2 * count} for a ratio of {ratio} %"
        )
    order = random.Random(f"bench-{ratio}-{seed}").sample(ready, 2 * count)
    splits: dict[str, Split] = dict.fromkeys(known, "retain")
    splits.update(dict.fromkeys(order[:count], "forget"))
    splits.update(dict.fromkeys(order[count:], "few"))
    return replace(data, records=tuple(_moved(record, splits) for record in data.records))


def _can_be_drawn(records: Sequence[Record]) -> bool:
    private = [record for record in records if record.kind in PRIVATE]
    return any(r.use != "score" for r in private) and any(r.scores for r in private)


def _moved(record: Record, splits: dict[str, Split]) -> Record:
    split = splits.get(record.subject or "", record.split)
    return record if split == record.split else record.model_copy(update={"split": split})
