"""The sculpted change, one tile at a time, with every cut decided as exact arithmetic decides it.

The mask of `sculpt.py` is a test of signs: with `t = -k * rho * a`, an entry is cut where
`(t - f) * t < 0`. Float32 products decide it almost everywhere. Where they cannot (both changes
nearly of one size, or the anchor's nearly zero; about two entries in 100,000) the two products are
computed once more in float64. So the mask depends neither on tiles nor on threads nor on the
order in which a library adds, and a cut never differs from the paper's equation by rounding.

Cost: two rank-r products and five passes over a tile in cache. torch has kernels that do
`(x - y) * z` and "x, or zero where y is not above" in one pass: they are the derivatives of others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from excise.weights.changes import Change
from excise.weights.sculpt import Criterion
from excise.weights.sparse import Sparse
from excise.weights.tiles_entries import Entries, entries
from excise.weights.tiles_factors import LEAST, Factors, prepared
from excise.weights.tiles_schedule import Space

Ready = Factors | Entries
"""A change made ready for tiles."""

SMALL, LARGE = -30, 40
MOST = 1e200  # times zero it is zero, and times anything else it is more than any change

_difference_times = torch.ops.aten.mse_loss_backward.grad_input  # 2 * (x - y) * z
_zero_unless_above = torch.ops.aten.threshold_backward.grad_input  # x, or 0 where y <= threshold


@dataclass(frozen=True, eq=False)
class Sculptor:
    """One branch's change to one matrix: `f`, and with a mask the anchor's `t` on f's power."""

    f: Ready
    t: Ready | None = None
    weight: float = 0.0
    magnitude: bool = False

    @property
    def factored(self) -> bool:
        """Whether all that it needs are products of factors that are not held."""
        return all(
            isinstance(side, Factors) and side.dense is None
            for side in (self.f, self.t)
            if side is not None
        )

    def tile(self, rows: slice, space: Space) -> Tensor:
        """The sculpted `f` of some rows, in buffer 0; times `2**f.power` it has its true size."""
        f, t, p = (space.matrix(index, rows.stop - rows.start) for index in range(3))
        self.f.multiply(rows, f)
        if self.t is None:
            return f
        f_bound, t_bound = self.f.bound(rows), self.t.bound(rows)
        if f_bound == 0 or (t_bound == 0 and not self.magnitude):
            return f
        self.t.multiply(rows, t)
        t_error = self.t.error(t_bound)
        near = self.f.error(f_bound) + t_error
        if self.magnitude:
            torch.abs(t, out=p).sub_(f.abs())
            limit = near
        else:
            _difference_times(t, t, f, 0, grad_input=p)
            limit = 2 * max(t_error * (f_bound + near), near * (min(f_bound, t_bound) + 2 * near))
        found = space.small(p, limit * 1.001)
        settled = self._settled(found, f, t, rows.start, near, t_error) if found.size else None
        _zero_unless_above(f, p, -LEAST, grad_input=f)
        if settled is not None:
            _put(f, *settled)
        return f

    def _settled(
        self, found: NDArray[np.intp], f: Tensor, t: Tensor, row: int, near: float, t_error: float
    ) -> tuple[NDArray[np.intp], NDArray[np.float32]] | None:
        """Those of `found` that float32 leaves in doubt, and what is to stand there."""
        assert self.t is not None
        f_here, t_here = _at(f, found), _at(t, found)
        if self.magnitude:
            doubt = abs(abs(t_here) - abs(f_here)) <= near
        else:
            doubt = (abs(t_here - f_here) <= near) | (abs(t_here) <= t_error)
        found, f_here = found[doubt], f_here[doubt]
        rows, columns = np.divmod(found, f.shape[1])
        rows += row
        # Where a factor has a row or column of zeros, float32 is exact, and the doubt is none.
        known = self.f.zero(rows, columns) | self.t.zero(rows, columns)
        if np.any(known):
            found, f_here = found[~known], f_here[~known]
            rows, columns = rows[~known], columns[~known]
        if not found.size:
            return None
        exact_f, exact_t = self.f.exact(rows, columns), self.t.exact(rows, columns)
        cut = abs(exact_t) * self.weight < abs(exact_f)
        if not self.magnitude:
            cut &= (exact_t > 0) & (exact_f > 0) | (exact_t < 0) & (exact_f < 0)
        return found, np.where(cut, np.float32(0), f_here)


def ready(change: Change) -> Ready:
    """A change of either kind made ready."""
    return entries(change) if isinstance(change, Sparse) else prepared(change)


def beside(other: Ready, factors: Ready, times: float) -> Ready:
    """`times * factors` with the power of `other`, to compare the two entry by entry.

    Its size is kept from `2**SMALL` to `2**LARGE`. Farther away it only matters that it is smaller
    than the other's rounding error, or larger than the other's largest entry.
    """
    share, power = math.frexp(times)
    size = power + factors.power - other.power
    if times == 0 or size < SMALL:
        share, size = share or 0.5, SMALL
    return factors.scaled(share * 2.0 ** min(size, LARGE), other.power)


def sculptor(
    delta: Change, anchor: Change | None, *, criterion: Criterion, weight: float
) -> Sculptor:
    """One branch made ready: `weight` is `k * rho`, which the criterion may not need."""
    f = ready(delta)
    if anchor is None or criterion == "none":
        return Sculptor(f)
    weight = 0.0 if criterion == "direction" else min(weight, MOST)
    opposite = ready(anchor.negated())
    return Sculptor(f, beside(f, opposite, weight), weight, magnitude=criterion == "magnitude")


def _at(x: Tensor, places: NDArray[np.intp]) -> NDArray[np.float32]:
    found: NDArray[np.float32]
    if x.device.type == "cpu":
        found = x.view(-1).numpy()[places]
    else:
        found = x.view(-1)[torch.from_numpy(places).to(x.device)].cpu().numpy()
    return found


def _put(x: Tensor, places: NDArray[np.intp], values: NDArray[np.float32]) -> None:
    if x.device.type == "cpu":
        x.view(-1).numpy()[places] = values
    else:
        there, new = (torch.from_numpy(y).to(x.device) for y in (places, values))
        x.view(-1)[there] = new
