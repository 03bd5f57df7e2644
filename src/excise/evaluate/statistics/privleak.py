"""PrivLeak: the membership AUC beside that of a model that never saw the data, in percent.

`100 * ((1 - AUC) - (1 - AUC_ref)) / (1 - AUC_ref)` (MUSE, arXiv 2407.06460), of Min-K at 40 %,
as in OpenUnlearning. 0 is ideal; below 0 the forget set still looks known; above 0 it looks less
known than if it had never been seen. (MUSE counts its AUC the other way round, hence `1 - AUC`.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from excise.evaluate.intervals import Figure, Floats, figure
from excise.evaluate.statistics.membership import Auc

_TINY = 1e-10


def privleak(model: Auc, reference: Auc) -> Figure:
    """PrivLeak with its interval; both AUCs on the same draws of people."""
    value = float(_relative(model.value, reference.value))
    return figure(value, _relative(model.resampled, reference.resampled), model.n)


def _relative(auc: ArrayLike, reference: ArrayLike) -> Floats:
    kept, expected = 1 - np.asarray(auc), 1 - np.asarray(reference)
    return np.asarray(100 * (kept - expected) / (expected + _TINY))
