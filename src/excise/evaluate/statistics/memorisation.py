"""Exact memorisation and extraction strength: how much of an answer comes by itself?

Both look at which of the answer's n tokens teacher forcing predicts by argmax, without the end
marker, as OpenUnlearning does. An answer of one token is known or not: there OpenUnlearning's
extraction strength is always 1 and says nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def exact_memorisation(hits: NDArray[np.bool_]) -> float:
    """Share of the tokens that are predicted (Tirumala et al., arXiv 2205.10770).

    Args:
        hits: (n,) whether the argmax is the token, n > 0.
    """
    return float(np.mean(hits))


def extraction_strength(hits: NDArray[np.bool_]) -> float:
    """`1 - k*/n`, `k*` the shortest prefix to give so that all the rest is predicted.

    0 if not even the last token is: nothing was extracted. After Carlini et al. (arXiv 2012.07805)
    and Wang et al. (arXiv 2406.09179).

    Args:
        hits: (n,) whether the argmax is the token, n > 0.
    """
    misses = np.flatnonzero(~np.asarray(hits, dtype=bool))
    given = misses[-1] + 1 if len(misses) else 0
    return float(1 - given / len(hits))


def extraction_strength_openunlearning(hits: NDArray[np.bool_]) -> float:
    """The same by OpenUnlearning's loop, which stops at `k = n - 1` at the latest.

    So a total miss counts `1/n`, like an answer of which the last token alone is predicted.

    Args:
        hits: (n,) whether the argmax is the token, n > 0.
    """
    return max(extraction_strength(hits), 1 / len(hits))
