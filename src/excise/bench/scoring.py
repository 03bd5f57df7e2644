"""Score one state of the model, answer by answer, in a form that seeds can be pooled from.

Kept are scores, with a number for each person: no question, no answer, no name. Answers of a few
records, for the page, are kept only where clear text is allowed.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from excise.bench.source import people
from excise.evaluate.evaluate import ask
from excise.evaluate.probability import answer_probability
from excise.evaluate.scoring import prepare, score_each
from excise.methods.material import PRIVATE
from excise.records.data import Data
from excise.records.errors import InputError
from excise.records.record import Kind, Record, Split
from excise.vlm.load import VLM

SPLITS: tuple[Split, ...] = ("forget", "retain", "unseen")
PROBABILITY = "probability"
DIGITS = 5

# What the page shows of each data set: split, kind, how many.
SHOWN: tuple[tuple[Split, Kind, int], ...] = (
    ("forget", "image_memory", 2),
    ("forget", "text_memory", 2),
    ("forget", "image_understanding", 1),
    ("retain", "image_memory", 2),
    ("retain", "text_memory", 1),
    ("unseen", "image_understanding", 1),
    ("unseen", "general", 1),
)


@dataclass(frozen=True)
class Scoring:
    """How answers are scored; part of a cell's key.

    `limit` is the most records of each split and kind, drawn by `seed` (0: all); `curve` the same
    for each point of a dial's curve.
    """

    limit: int = 240
    curve: int = 80
    seed: int = 0


class Each(TypedDict):
    """Scores by record: who it is about, its split and kind, and each metric's value or None."""

    person: list[str]
    split: list[Split]
    kind: list[Kind]
    scores: dict[str, list[float | None]]


def scored_records(data: Data, limit: int, seed: int) -> list[Record]:
    """At most `limit` (0: all) of every split and kind that is scored, in the order of the file.

    Raises:
        InputError: nothing to score, or a reference that a metric cannot use.
    """
    cells: dict[tuple[str, str], list[Record]] = {}
    for record in data.select(splits=SPLITS, use="score"):
        cells.setdefault((record.split, record.kind), []).append(record)
    if not any(split == "forget" for split, _ in cells):
        raise InputError(f"{data.folder}: no records of split forget to score")
    rng = random.Random(f"scored-{seed}")
    chosen = {
        record.id
        for records in cells.values()
        for record in (rng.sample(records, limit) if 0 < limit < len(records) else records)
    }
    records = [record for record in data.records if record.id in chosen]
    prepare(records)
    return records


def score(
    vlm: VLM,
    data: Data,
    records: Sequence[Record],
    *,
    probability: bool = True,
) -> tuple[Each, dict[str, str]]:
    """Scores and answers of the model as it is now.

    Args:
        probability: whether to look at the true answers' probability too, on private records.
    """
    answers = ask(vlm, data, records)
    each = score_each(records, answers)
    if probability:
        private = [record for record in records if record.kind in PRIVATE]
        found = dict(zip(private, answer_probability(vlm, data, private), strict=True))
        for record, scores in zip(records, each, strict=True):
            if record in found:
                scores[PROBABILITY] = found[record]
    return columned(data, records, each), {
        record.id: answer for record, answer in zip(records, answers, strict=True)
    }


def columned(
    data: Data,
    records: Sequence[Record],
    each: Sequence[dict[str, float]],
    metrics: Collection[str] | None = None,
) -> Each:
    """Scores a record as one list a metric."""
    names = people(data)
    listed = dict.fromkeys(name for scores in each for name in scores)
    return Each(
        person=[names[r.subject] if r.subject else f"record {r.id}" for r in records],
        split=[r.split for r in records],
        kind=[r.kind for r in records],
        scores={
            name: [None if name not in s else round(s[name], DIGITS) for s in each]
            for name in listed
            if metrics is None or name in metrics
        },
    )


def shown(records: Sequence[Record], seed: int) -> list[Record]:
    """A few records for the page, of different people where there are some."""
    rng = random.Random(f"shown-{seed}")
    picked: list[Record] = []
    for split, kind, count in SHOWN:
        found = [r for r in records if r.split == split and r.kind == kind]
        for record in rng.sample(found, len(found)):
            if count and not any(_person(record) == _person(p) for p in picked if p.kind == kind):
                picked.append(record)
                count -= 1
    return picked


def _person(record: Record) -> Any:
    return record.subject or record.image or record.id
