"""From one side's numbers, and a reference's, to figures with intervals.

Names are flat, so that a gate can say them: `truth_ratio.forget`, `membership.min_k.difference`.
A figure for which the data has no records is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from excise.evaluate.intervals import Figure, figure, interval
from excise.evaluate.statistics.forget_quality import forget_quality
from excise.evaluate.statistics.membership import MEMBERSHIP, Auc, auc
from excise.evaluate.statistics.memorisation import (
    exact_memorisation,
    extraction_strength,
    extraction_strength_openunlearning,
)
from excise.evaluate.statistics.model_utility import Part, model_utility, probability_among
from excise.evaluate.statistics.privleak import privleak
from excise.evaluate.statistics.resampling import Draws
from excise.evaluate.statistics.side import Scored, Statistics, same_records
from excise.evaluate.statistics.truth_ratio import as_forgotten, as_kept
from excise.records.record import Split

SPLITS: tuple[Split, ...] = ("forget", "retain", "unseen")

_OF_TOKENS: dict[str, Callable[[Scored], float]] = {
    "probability": lambda s: s.right.probability,
    "exact_memorisation": lambda s: exact_memorisation(s.right.said.hits),
    "extraction_strength": lambda s: extraction_strength(s.right.said.hits),
    "extraction_strength_openunlearning": lambda s: extraction_strength_openunlearning(
        s.right.said.hits
    ),
}


def figures(model: Statistics, reference: Statistics | None = None) -> dict[str, Figure]:
    """All figures of a side; with a model that never saw the data, also those that need one.

    Raises:
        ValueError: the two sides are of other records or another seed.
    """
    if reference is not None and (
        model.seed != reference.seed or not same_records(model.scored, reference.scored)
    ):
        raise ValueError("the sides are of different records or seeds, expected the same")
    found: dict[str, Figure | None] = {}
    for split in SPLITS:
        private = model.private(split)
        for name, value in _OF_TOKENS.items():
            found[f"{name}.{split}"] = _mean(private, [value(s) for s in private], model.seed)
        rated = [s for s in private if s.ratio is not None]
        aggregate = as_kept if split == "retain" else as_forgotten
        found[f"truth_ratio.{split}"] = _mean(
            rated, [aggregate(r) for r in _ratios(rated)], model.seed
        )
    found |= _membership(model, reference)
    if reference is not None:
        ours, theirs = _ratios(model.private("forget")), _ratios(reference.private("forget"))
        found["forget_quality"] = forget_quality(ours, theirs) if ours else None
    found["model_utility"] = model_utility(_parts(model), seed=model.seed)
    return {name: value for name, value in found.items() if value is not None}


def _mean(scored: Sequence[Scored], values: Sequence[float], seed: int) -> Figure | None:
    return interval(values, [s.person for s in scored], seed=seed) if values else None


def _ratios(scored: Sequence[Scored]) -> list[float]:
    return [s.ratio for s in scored if s.ratio is not None]


def _membership(model: Statistics, reference: Statistics | None) -> dict[str, Figure | None]:
    """AUCs of the forget set against unseen people; nothing if either is missing."""
    found: dict[str, Figure | None] = {}
    ours = _aucs(model)
    theirs = {} if reference is None else _aucs(reference)
    for name, one in ours.items():
        found[f"membership.{name}"] = one.figure()
        if other := theirs.get(name):
            found[f"membership.{name}.reference"] = other.figure()
            apart = one.resampled - other.resampled
            found[f"membership.{name}.difference"] = figure(one.value - other.value, apart, one.n)
    if theirs and ours:
        found["privleak"] = privleak(ours["min_k"], theirs["min_k"])
    return found


def _aucs(side: Statistics) -> dict[str, Auc]:
    members, others = side.private("forget"), side.private("unseen")
    if not members or not others:
        return {}
    drawn = Draws.of([s.person for s in members], seed=side.seed)
    drawn_others = Draws.of([s.person for s in others], seed=side.seed + 1)
    return {
        name: auc(
            [score(s.right, s.record.answer) for s in members],
            [score(s.right, s.record.answer) for s in others],
            drawn,
            drawn_others,
        )
        for name, score in MEMBERSHIP.items()
    }


def _parts(side: Statistics) -> list[Part]:
    """Retained and general records for `model_utility`."""
    parts = []
    for scored, among in ((side.private("retain"), False), (side.general(), True)):
        probability = [
            probability_among(s.right.probability, np.exp(-np.asarray(s.wrong)).tolist())
            if among
            else s.right.probability
            for s in scored
        ]
        truth = [None if s.ratio is None else as_kept(s.ratio) for s in scored]
        parts.append(
            Part([s.person for s in scored], [probability, [s.recall for s in scored], truth])
        )
    return parts
