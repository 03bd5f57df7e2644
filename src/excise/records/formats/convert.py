"""From a published benchmark to a data folder, whole or not at all.

Every record and every picture is checked as `read` checks them before the folder gets its name.
Costs two passes over the retained subset (who is there, then what), and the pictures' size on disk.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from excise.records.data import Data, require_forgettable
from excise.records.errors import InputError
from excise.records.formats.reading import Reading, Wanted
from excise.records.formats.registry import named
from excise.records.formats.sources import Source
from excise.records.reading import read
from excise.records.writing import new_folder, write_text


@dataclass(frozen=True)
class Made:
    """The data folder that was written, and what the source did not have."""

    data: Data
    notes: tuple[str, ...]

    def counts(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Records to learn from and records that are scored, by split and kind."""
        fits: Counter[tuple[str, str]] = Counter()
        scores: Counter[tuple[str, str]] = Counter()
        for record in self.data.records:
            fits[record.split, record.kind] += record.fits
            scores[record.split, record.kind] += record.scores
        return {cell: (fits[cell], scores[cell]) for cell in fits}


def convert(
    format: str,
    source: str | Path,
    out: str | Path,
    *,
    forget: str | int | None = None,
    few: int | None = None,
    unseen: int = 0,
    retain: int | None = None,
    test: bool = False,
    images: str | Path | None = None,
    seed: int = 0,
) -> Made:
    """Write `source`, a benchmark in its published columns, as the data folder `out`.

    Args:
        format: see `FORMATS`.
        source: a downloaded folder or file, or an id on the hub.
        forget: which of the published shares of people is forgotten, in percent.
        few: how many retained people a method may see; as many as are forgotten if None.
        unseen: how many retained people count as strangers, for a model not tuned on them.
        retain: at most so many others are retained.
        test: score the forgotten on the benchmark's test pictures (MLLMU-Bench).
        images: where pictures lie that the benchmark only names.
        seed: draws few, unseen and retained people.

    Raises:
        InputError: an unknown format or share, a missing subset or column, an unreadable file, no
            people to forget, or `out` exists and is not empty.
    """
    chosen = named(format)
    place = None if images is None else Path(images)
    if place is not None and not place.is_dir():
        raise InputError(f"{place}: no such folder, expected one with pictures")
    share = chosen.share(None if forget is None else str(forget))
    wanted = Wanted(share, few, unseen, retain, test, place, seed)
    opened = Source(source)
    with new_folder(out) as part:
        reading = Reading(opened, wanted, part)
        chosen.read(reading)
        lines = (
            json.dumps(record.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False)
            for record in reading.records
        )
        write_text(part / "records.jsonl", "".join(f"{line}\n" for line in lines))
        data = read(part)
        require_forgettable(data)
    return Made(replace(data, folder=Path(out)), tuple(reading.notes))
