"""A low-rank change made ready for tiles: float32 factors of ordinary size, and what they bound.

Powers of two are taken out of the factors and put back at the end, which costs no digit: products
of the tiniest and hugest adapters then neither vanish nor overflow on the way. What a float32
product of two factors can be wrong by follows from the lengths of their rows and columns.

Cost: float32 copies of both factors and two vectors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from excise.weights.delta import LowRank
from excise.weights.norms import unit

UNIT = 2.0**-24  # half a unit in the last place of a float32 number between 1 and 2
LEAST = 2.0**-149  # the smallest float32 number above zero


@dataclass(frozen=True, eq=False)
class Factors:
    """The change `2**power * b @ a`.

    `rows` and `columns` are the Euclidean lengths of b's rows and a's columns: by Cauchy and
    Schwarz `|b @ a| <= rows * columns`, entry by entry.
    """

    delta: LowRank
    b: Tensor  # (out, r) float32
    a: Tensor  # (r, in) float32
    power: int
    rows: NDArray[np.float64]  # (out,)
    columns: NDArray[np.float64]  # (in,)
    dense: Tensor | None = None
    """The product, where it is held (`sweep.py`), to be taken `times` this."""
    times: float = 1.0

    @cached_property
    def longest(self) -> float:
        """The largest of `columns`."""
        return float(self.columns.max(initial=0.0))

    def multiply(self, rows: slice, out: Tensor) -> None:
        """Write some rows of `b @ a` to `out`."""
        if self.dense is None:
            torch.mm(self.b[rows], self.a, out=out)
        else:
            torch.mul(self.dense[rows], self.times, out=out)

    def scaled(self, factor: float, power: int) -> Factors:
        """`factor` times this, on another power."""
        return replace(
            self,
            a=self.a * factor,
            power=power,
            columns=self.columns * factor,
            times=factor,
        )

    def bound(self, rows: slice) -> float:
        """What no entry of these rows exceeds."""
        return float(self.rows[rows].max() * self.longest)

    def error(self, bound: float) -> float:
        """What the float32 product may be wrong by at an entry that is at most `bound`."""
        # Roundings: one for each factor, two for scaling, one for a product, r - 1 for the sum, in
        # whatever order. Then what gets lost below the smallest numbers.
        rank, lost = self.b.shape[1], LEAST * max(1.0, self.longest)
        return bound * (rank + 5) * UNIT + 4 * rank * lost

    def zero(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.bool_] | bool:
        """Where a row of b or a column of a is all zeros."""
        if not self._gaps:
            return False
        found: NDArray[np.bool_] = (self.rows[rows] == 0) | (self.columns[columns] == 0)
        return found

    def exact(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float64]:
        """The change itself, in float64, at some entries."""
        b, a = self._wide
        found: NDArray[np.float64] = (b[rows].astype(np.float64) * a[:, columns].T).sum(axis=1)
        return found * self.delta.scale

    @cached_property
    def _gaps(self) -> bool:
        return not (self.rows.all() and self.columns.all())

    @cached_property
    def _wide(self) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """The factors as they came; in their own memory, if they are float32 on the CPU."""
        wide = (x.to("cpu", torch.promote_types(x.dtype, torch.float32)) for x in self._given)
        b, a = (x.numpy() for x in wide)
        return b, a

    @property
    def _given(self) -> tuple[Tensor, Tensor]:
        return self.delta.b.detach(), self.delta.a.detach()


def prepared(delta: LowRank) -> Factors:
    """A change as factors; the longest row and column have lengths from 0.5 to 1."""
    device = delta.b.device
    (b, b_power), (a, a_power) = unit(delta.b.detach().cpu()), unit(delta.a.detach().cpu())
    (b, rows, b_more), (a, columns, a_more) = _lengths(b, 1), _lengths(a, 0)
    scale, power = math.frexp(delta.scale)
    power += b_power + a_power + b_more + a_more
    b, rows = b * scale, rows * abs(scale)
    b, a = (x.float().contiguous().to(device) for x in (b, a))
    return Factors(delta, b, a, power, rows, columns)


def _lengths(x: Tensor, dim: int) -> tuple[Tensor, NDArray[np.float64], int]:
    """`x` times a power of two, the lengths along `dim`, the longest from 0.5 to 1; the power."""
    found = x.norm(dim=dim).numpy()
    power = math.frexp(float(found.max(initial=0.0)))[1]
    return x * 2.0**-power, found * 2.0**-power, power
