"""The columns of the bench's table, and a figure for each from the pooled scores of several seeds.

All answers of all seeds together; intervals (95 %) by bootstrap over people (`intervals.py`), who
are the same people whichever seed forgets them. So an interval speaks of other people and other
draws of the same world, not of another world. A share is a ratio to the original's mean on the same
records, resampled together with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from excise.bench.scoring import PROBABILITY, Each
from excise.evaluate.intervals import Clusters, Figure, figure, interval
from excise.methods.material import PRIVATE
from excise.records.record import Kind, Split

Better = Literal["lower", "higher"]
LOOKING: tuple[Kind, ...] = ("image_understanding", "general")
SEEING: tuple[Kind, ...] = ("image_understanding",)
EVERYBODY: tuple[Split, ...] = ("forget", "retain", "unseen")


@dataclass(frozen=True)
class Column:
    """Mean of one metric over some splits and kinds; `group` is the heading above it."""

    key: str
    group: str
    label: str
    better: Better
    metric: str
    splits: tuple[Split, ...]
    kinds: tuple[Kind, ...]
    digits: int = 3


COLUMNS: tuple[Column, ...] = tuple(
    Column(*given)
    for given in (
        ("forget_image", "Forgotten memory", "image", "lower", "rouge_l", ("forget",),
         ("image_memory",), 3),
        ("forget_text", "Forgotten memory", "text", "lower", "rouge_l", ("forget",),
         ("text_memory",), 3),
        ("retain_image", "Retained memory", "image", "higher", "rouge_l", ("retain",),
         ("image_memory",), 3),
        ("retain_text", "Retained memory", "text", "higher", "rouge_l", ("retain",),
         ("text_memory",), 3),
        ("forget_probability", "True answer's probability", "forgotten", "lower", PROBABILITY,
         ("forget",), PRIVATE, 3),
        ("retain_probability", "True answer's probability", "retained", "higher", PROBABILITY,
         ("retain",), PRIVATE, 3),
        ("forget_seeing", "Understanding", "forgotten", "higher", "rouge_l", ("forget",), SEEING,
         3),
        ("retain_seeing", "Understanding", "retained", "higher", "rouge_l", ("retain",), SEEING, 3),
        ("unseen_seeing", "Understanding", "unseen people", "higher", "rouge_l", ("unseen",),
         SEEING, 3),
        ("general", "Understanding", "general", "higher", "rouge_l", EVERYBODY, ("general",), 3),
        ("caption", "Skills", "captions, CIDEr", "higher", "cider", ("retain", "unseen"), LOOKING,
         2),
        ("grounding", "Skills", "boxes, IoU", "higher", "iou", ("retain", "unseen"), LOOKING, 3),
        ("over_refusal", "Refusals", "unseen", "lower", "refusal", ("unseen",), LOOKING, 3),
        ("meaningful", "Answers", "meaningful, 0–10", "higher", "meaningful", EVERYBODY,
         (*PRIVATE, *LOOKING), 2),
    )
)  # fmt: skip

# The axes of the plane, and what a harmed model is known by.
PLANE: dict[str, Column] = {
    "forgotten": Column(
        "forgotten", "Plane", "forgotten memory", "lower", "rouge_l", ("forget",), PRIVATE
    ),
    "memory": Column(
        "memory", "Plane", "retained memory", "higher", "rouge_l", ("retain",), PRIVATE
    ),
    "understanding": Column(
        "understanding", "Plane", "understanding", "higher", "rouge_l", EVERYBODY, SEEING
    ),
}


def mean_of(eachs: Sequence[Each], column: Column) -> Figure | None:
    """The column's figure over the cells of all seeds; None if no record has the metric."""
    values, people = _picked(eachs, column)
    return interval(values, people) if values else None


def plain_mean(eachs: Sequence[Each], column: Column) -> float | None:
    """The same without its interval."""
    values, _ = _picked(eachs, column)
    return float(np.mean(values)) if values else None


def share_of(eachs: Sequence[Each], originals: Sequence[Each], column: Column) -> Figure | None:
    """The column's mean over the original's, for the same records of the same seeds.

    None if there is nothing to compare, or the original scores nothing.
    """
    values, people = _picked(eachs, column)
    was, same = _picked(originals, column)
    if not values or people != same or not any(was):
        return None
    clusters = Clusters(people, seed=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        resampled = clusters.means(values) / clusters.means(was)
    return figure(float(np.mean(values) / np.mean(was)), resampled, len(values))


def _picked(eachs: Iterable[Each], column: Column) -> tuple[list[float], list[str]]:
    values, people = [], []
    for each in eachs:
        scores = each["scores"].get(column.metric)
        if scores is None:
            continue
        rows = zip(each["person"], each["split"], each["kind"], scores, strict=True)
        for person, split, kind, value in rows:
            if value is not None and split in column.splits and kind in column.kinds:
                values.append(value)
                people.append(person)
    return values, people
