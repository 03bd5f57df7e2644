"""Draws of people for figures that are no means: AUC, PrivLeak.

The cluster bootstrap of `intervals.py`, with how often each person was drawn in the open. Equal
keys and seed give equal draws, so that two models on the same records are resampled alike and their
difference has an interval of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from excise.evaluate.intervals import RESAMPLES, Clusters, Floats


@dataclass(frozen=True)
class Draws:
    """n records in C clusters, and B draws of C clusters with replacement.

    Attributes:
        index: (n,) each record's cluster.
        counts: (B, C) how often each cluster was drawn.
    """

    index: NDArray[np.intp]
    counts: Floats

    @classmethod
    def of(cls, keys: Sequence[str], *, seed: int, resamples: int = RESAMPLES) -> Draws:
        """Draws of the clusters named by `keys` (n,); of records if all are of one cluster."""
        clusters = Clusters(keys, seed=seed)
        even = np.full(clusters.count, 1 / clusters.count)
        counts = np.random.default_rng(seed).multinomial(clusters.count, even, size=resamples)
        return cls(clusters.index, counts.astype(np.float64))

    @property
    def sizes(self) -> Floats:
        """(C,) records of each cluster."""
        return np.bincount(self.index, minlength=self.counts.shape[1]).astype(np.float64)
