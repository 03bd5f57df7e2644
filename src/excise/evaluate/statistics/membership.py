"""Membership inference: can one tell by its likelihood that a record was trained on?

Members are the forget set's private records; non-members are private records of people whom the
model never knew, of the same kinds. (Against retained records one would measure who is retained;
against forget records that were not trained on, nothing.) The AUC is the chance that a member looks
more like a member than a non-member does, ties half: 1 if the forget set is told apart as known,
0.5 if not at all, and *near 0 if it is told apart as suppressed*, which gives it away as well. How
near to 0.5 a model that never saw the data comes depends on how alike the two groups are: compare
with the reference.

Scores, all the higher the more like a member, from the answer's tokens: LOSS (Yeom et al., arXiv
1709.01604) and zlib (Carlini et al., arXiv 2012.07805) with the end marker; Min-K (arXiv
2310.16789) and Min-K++ (arXiv 2404.02936) without it and with K = 40 %, as in OpenUnlearning.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from excise.evaluate.intervals import Figure, Floats, figure
from excise.evaluate.statistics.resampling import Draws
from excise.evaluate.token_scores import TokenScores

K = 0.4


def loss(scores: TokenScores, answer: str) -> float:
    """Minus the mean cross entropy, end marker included."""
    return -scores.loss


def zlib_loss(scores: TokenScores, answer: str) -> float:
    """The same, divided by the bytes that zlib needs for the answer's text."""
    return -scores.loss / len(zlib.compress(answer.encode()))


def min_k(scores: TokenScores, answer: str) -> float:
    """Mean log-probability of the 40 % least likely tokens (at least one)."""
    return _mean_of_lowest(scores.said.logprobs)


def min_k_plus_plus(scores: TokenScores, answer: str) -> float:
    """The same of log-probabilities in units of the model's own spread at that place."""
    said = scores.said
    return _mean_of_lowest((said.logprobs - said.means) / said.deviations)


MEMBERSHIP: dict[str, Callable[[TokenScores, str], float]] = {
    "loss": loss,
    "zlib": zlib_loss,
    "min_k": min_k,
    "min_k_plus_plus": min_k_plus_plus,
}


def _mean_of_lowest(values: Floats) -> float:
    return float(np.mean(np.sort(values)[: max(1, int(len(values) * K))]))


class Auc(NamedTuple):
    """An AUC, its value in each of B draws of members and non-members, and the records behind."""

    value: float
    resampled: Floats
    n: int

    def figure(self) -> Figure:
        return figure(self.value, self.resampled, self.n)


def auc(
    members: Sequence[float], others: Sequence[float], drawn: Draws, drawn_others: Draws
) -> Auc:
    """The AUC of `members` (m,) over `others` (o,), both resampled by person.

    Takes one binary search of all others for each member's person, and memory for
    (people x people) numbers.
    """
    wins = _wins(np.asarray(members), np.asarray(others), drawn, drawn_others)  # (C, D)
    sums = np.einsum("bc,cd,bd->b", drawn.counts, wins, drawn_others.counts, optimize=True)
    pairs = (drawn.counts @ drawn.sizes) * (drawn_others.counts @ drawn_others.sizes)
    value = float(wins.sum() / (len(members) * len(others)))
    return Auc(value, sums / pairs, len(members) + len(others))


def _wins(members: Floats, others: Floats, drawn: Draws, drawn_others: Draws) -> Floats:
    """How many of each pair of clusters' pairs the member wins, ties half."""
    wins = np.empty((drawn.counts.shape[1], drawn_others.counts.shape[1]))
    for cluster in range(len(wins)):
        own = np.sort(members[drawn.index == cluster])
        below = np.searchsorted(own, others, side="left")
        beaten = len(own) - (below + np.searchsorted(own, others, side="right")) / 2
        wins[cluster] = np.bincount(drawn_others.index, beaten, minlength=wins.shape[1])
    return wins
