"""Norms of low-rank changes from their factors alone, in float64: no dense product is built.

Cost: r x r products over the longer sides of the factors, some milliseconds for a large matrix.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor

from excise.weights.threads import one_thread_each

if TYPE_CHECKING:
    from excise.weights.delta import LowRank


def factor_norm(delta: LowRank) -> float:
    """Frobenius norm of `scale * B @ A`: `|scale| * sqrt(tr((BᵀB)(AAᵀ)))`.

    Both factors are brought to size 1 first, so that no square of a tiny or huge entry is lost.
    """
    with one_thread_each():  # the same norm, to the last digit, on any machine with this processor
        (b, b_power), (a, a_power) = unit(delta.b), unit(delta.a)
        # Both Gram matrices are symmetric, so the trace of their product is a plain sum.
        square = float(((b.T @ b) * (a @ a.T)).sum())
    return abs(delta.scale) * math.ldexp(math.sqrt(max(square, 0.0)), b_power + a_power)


def unit(x: Tensor) -> tuple[Tensor, int]:
    """`x` in float64 times a power of two, its largest entry in [0.5, 1), and that power's undoing.

    The result times `2**power` is `x` exactly; a tensor of zeros stays as it is, with power 0.
    """
    wide = x.double()
    power = math.frexp(float(wide.abs().max()))[1] if wide.numel() else 0
    power = max(power, -1000)  # float64 ends there
    return wide * 2.0**-power, power
