"""One figure over several splits and kinds at once, such as memory through both doors."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from excise.evaluate.intervals import Figure, interval
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
    chosen = [
        (record, scores[metric])
        for record, scores in zip(records, each, strict=True)
        if record.split in splits and record.kind in kinds and metric in scores
    ]
    if not chosen:
        return None
    people = [f"subject {r.subject}" if r.subject else f"record {r.id}" for r, _ in chosen]
    return interval([value for _, value in chosen], people, seed=seed)
