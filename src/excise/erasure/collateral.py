"""What forgetting cost: memory of others, understanding, skills, needless refusals, sense.

Absolute figures for every side, and for a run the share of what was there before (`kept.*`), on the
same records and resampled together, so that a share's interval is that of the ratio.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from excise.evaluate.intervals import Figure
from excise.evaluate.pooled import pooled, share
from excise.records.record import KINDS, SPLITS, Kind, Record, Split

PRIVATE: tuple[Kind, ...] = ("image_memory", "text_memory")
LOOKING: tuple[Kind, ...] = ("image_understanding", "general")


@dataclass(frozen=True)
class Measure:
    """One figure: the mean of a metric over some splits and kinds; `kept` names its share."""

    name: str
    metric: str
    splits: tuple[Split, ...]
    kinds: tuple[Kind, ...]
    kept: str | None = None


MEASURES: tuple[Measure, ...] = (
    Measure("memory.forget", "rouge_l", ("forget",), PRIVATE),
    Measure("memory.retain", "rouge_l", ("retain",), PRIVATE, "kept.memory"),
    Measure(
        "understanding.forget",
        "rouge_l",
        ("forget",),
        ("image_understanding",),
        "kept.understanding.forget",
    ),
    Measure(
        "understanding.retain",
        "rouge_l",
        ("retain",),
        ("image_understanding",),
        "kept.understanding.retain",
    ),
    Measure(
        "understanding.unseen",
        "rouge_l",
        ("unseen",),
        ("image_understanding",),
        "kept.understanding.unseen",
    ),
    Measure("general", "rouge_l", ("retain", "unseen"), ("general",), "kept.general"),
    Measure("captions", "cider", ("retain", "unseen"), LOOKING, "kept.captions"),
    Measure("grounding", "iou", ("retain", "unseen"), LOOKING, "kept.grounding"),
    Measure("refusal.forget", "refusal", ("forget",), PRIVATE),
    Measure("refusal.seeing", "refusal", ("forget",), LOOKING),
    Measure("refusal.retain", "refusal", ("retain",), PRIVATE),
    Measure("refusal.unseen", "refusal", ("unseen",), LOOKING),
    Measure("refusal.strangers", "refusal", ("unseen",), PRIVATE),
    Measure("meaningful", "meaningful", SPLITS, KINDS, "kept.meaningful"),
)


def collateral(
    records: Sequence[Record],
    each: Sequence[Mapping[str, float]],
    before: Sequence[Mapping[str, float]] | None,
    seed: int,
) -> dict[str, Figure]:
    """The figures of one side, with `kept.*` where there is a side before it."""
    figures: dict[str, Figure | None] = {}
    for measure in MEASURES:
        name, splits, kinds = measure.metric, measure.splits, measure.kinds
        figures[measure.name] = pooled(records, each, name, splits=splits, kinds=kinds, seed=seed)
        if measure.kept is not None and before is not None:
            figures[measure.kept] = share(
                records, each, before, name, splits=splits, kinds=kinds, seed=seed
            )
    return {name: value for name, value in figures.items() if value is not None}
