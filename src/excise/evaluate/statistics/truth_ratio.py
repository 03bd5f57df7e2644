"""Truth ratio: is the true answer any likelier than wrong ones?

`R = exp(-mean_j loss(wrong_j)) / (exp(-loss(paraphrased right answer)) + 1e-10)`, losses being mean
cross entropies over an answer's tokens, end marker included: wrong answers go into a geometric mean
of their probabilities, as in OpenUnlearning; TOFU (arXiv 2401.06121) has the arithmetic one. A
model that knows gives R near 0; one that never knew gives R around 1, above or below.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_TINY = 1e-10


def truth_ratio(wrong: Sequence[float], right: Sequence[float]) -> float:
    """R, at least 0, from the losses of the wrong answers and of the right one's wordings.

    Raises:
        ValueError: a side without answers.
    """
    if not len(wrong) or not len(right):
        raise ValueError("a truth ratio needs wrong answers and a right one")
    return float(np.exp(-np.mean(wrong)) / (np.exp(-np.mean(right)) + _TINY))


def as_forgotten(ratio: float) -> float:
    """`min(R, 1/R)`, 0 to 1: 1 where right and wrong are equally likely; for the forget set."""
    return min(ratio, 1 / (ratio + _TINY))


def as_kept(ratio: float) -> float:
    """`max(0, 1 - R)`, 0 to 1: 1 where the right answer stands out; for what is to be kept."""
    return max(0.0, 1 - ratio)
