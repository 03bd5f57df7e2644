"""One figure over several splits and kinds at once, such as memory through both doors."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from excise.evaluate.intervals import Clusters, Figure, figure, interval
from excise.records.record import Kind, Record, Split


def pooled(
    records: Sequence[Record],
    each: Sequence[Mapping[str, float]],
    metric: str,
    *,
    splits: Collection[Split],
    kinds: Collection[Kind],
    seed: int = 0,
) -> Figure | None:
    """Mean of a metric over all records of those splits and kinds, its interval by person.

    `each` is what `score_each` gives for `records`. None if no record has the metric.
    """
    values, people = _picked(records, each, metric, splits, kinds)
    return interval(values, people, seed=seed) if values else None


def share(
    records: Sequence[Record],
    each: Sequence[Mapping[str, float]],
    before: Sequence[Mapping[str, float]],
    metric: str,
    *,
    splits: Collection[Split],
    kinds: Collection[Kind],
    seed: int = 0,
) -> Figure | None:
    """The mean of `each` over that of `before`, resampled together; 1 is nothing lost.

    None if no record has the metric, or there was nothing before.
    """
    values, people = _picked(records, each, metric, splits, kinds)
    was, _ = _picked(records, before, metric, splits, kinds)
    if not values or len(was) != len(values) or not any(was):
        return None
    clusters = Clusters(people, seed=seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        resampled = clusters.means(values) / clusters.means(was)
    return figure(float(np.mean(values) / np.mean(was)), resampled, len(values))


def _picked(
    records: Sequence[Record],
    each: Sequence[Mapping[str, float]],
    metric: str,
    splits: Collection[Split],
    kinds: Collection[Kind],
) -> tuple[list[float], list[str]]:
    chosen = [
        (scores[metric], record)
        for record, scores in zip(records, each, strict=True)
        if record.split in splits and record.kind in kinds and metric in scores
    ]
    people = [f"subject {r.subject}" if r.subject else f"record {r.id}" for _, r in chosen]
    return [value for value, _ in chosen], people
