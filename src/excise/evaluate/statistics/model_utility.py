"""Model utility: one figure for what the model still can do.

The harmonic mean of up to six means, as in TOFU (arXiv 2401.06121) and OpenUnlearning: probability
of the right answer, ROUGE-L recall of the model's own, and truth ratio `max(0, 1 - R)`, each over
retained records (private ones of split `retain`) and over general ones (kind `general`). General
answers' probability is weighed against the wrong ones, `p / (p + sum p_wrong + 1e-10)`, as TOFU
does for its world facts. Harmonic, because a model that lost one of them is of little use: one zero
makes it 0. A mean without records is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from excise.evaluate.intervals import RESAMPLES, Clusters, Figure, Floats, figure

_TINY = 1e-10
Value = float | None
"""None where a record has none."""


@dataclass(frozen=True)
class Part:
    """One set of n records: the person of each, and per record the values that are averaged."""

    people: Sequence[str]
    values: Sequence[Sequence[Value]]
    """One sequence of (n,) for probability, ROUGE-L recall and truth ratio."""


def probability_among(right: float, wrong: Sequence[float]) -> Value:
    """`p / (p + sum p_wrong)`, 0 to 1; None without wrong answers."""
    return right / (right + sum(wrong) + _TINY) if len(wrong) else None


def harmonic_mean(means: Sequence[float]) -> float:
    """Of numbers of 0 or more, at least one; 0 if any of them is."""
    return 0.0 if min(means) <= 0 else len(means) / sum(1 / mean for mean in means)


def model_utility(parts: Sequence[Part], *, seed: int) -> Figure | None:
    """The harmonic mean of all parts' means, people of each part resampled; None without records.

    `n` counts the records of all parts.
    """
    means: list[float] = []
    drawn: list[Floats] = []
    for number, part in enumerate(parts):
        if not part.people:
            continue
        clusters = Clusters(part.people, seed=seed + number)
        for values in part.values:
            known = [value is not None for value in values]
            if any(known):
                filled = [0.0 if value is None else value for value in values]
                means.append(float(np.mean([value for value in values if value is not None])))
                drawn.append(clusters.means(filled, known))
    if not means:
        return None
    columns = np.stack(drawn, axis=1)  # (RESAMPLES, means)
    resampled = np.full(RESAMPLES, np.nan)
    for row in np.flatnonzero(np.isfinite(columns).all(axis=1)):
        resampled[row] = harmonic_mean(columns[row].tolist())
    return figure(harmonic_mean(means), resampled, sum(len(part.people) for part in parts))
