"""A sparse change made ready for tiles: what `Factors` is for a low-rank one.

A tile is zeros with the entries that fall into it, which are found by bisection. The values are
those of the file but for a power of two, so the change is exact; the float64 path of the mask needs
them only where the other side is in doubt.

Cost: the values once more, and for a tile as many places as there are entries in it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from excise.weights.norms import unit
from excise.weights.sparse import Sparse
from excise.weights.tiles_factors import LEAST, UNIT


@dataclass(frozen=True, eq=False)
class Entries:
    """The change `2**power * times * values` at some places of a matrix."""

    delta: Sparse
    values: Tensor  # (n,) float32, the largest from 0.5 to 1
    power: int
    times: float = 1.0

    def multiply(self, rows: slice, out: Tensor) -> None:
        """Write some rows of the change to `out`."""
        here = self._inside(rows)
        first = rows.start * self.delta.shape[1]
        out.zero_()
        places = self.delta.index[here].long().sub_(first)
        out.view(-1).index_copy_(0, places, self.values[here] * self.times)

    def bound(self, rows: slice) -> float:
        """What no entry of these rows exceeds."""
        values = self.values[self._inside(rows)]
        return float(values.abs().max()) * abs(self.times) * (1 + UNIT) if len(values) else 0.0

    def error(self, bound: float) -> float:
        """What an entry may be wrong by that is at most `bound`: it is rounded once."""
        return bound * 2 * UNIT + 2 * LEAST

    def zero(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.bool_] | bool:
        """Where the change has no entry."""
        _, found = self._find(rows, columns)
        return ~found

    def exact(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float64]:
        """The change itself, in float64, at some entries."""
        places, found = self._find(rows, columns)
        if not found.any():
            return np.zeros(len(rows))
        chosen = torch.from_numpy(np.where(found, places, 0)).to(self.values.device)
        values: NDArray[np.float64] = self.delta.values[chosen].double().cpu().numpy()
        return np.where(found, values, 0.0)

    def scaled(self, factor: float, power: int) -> Entries:
        """`factor` times this, on another power."""
        return replace(self, times=self.times * factor, power=power)

    def _inside(self, rows: slice) -> slice:
        """Which of the entries lie in some rows."""
        width = self.delta.shape[1]
        index = self.delta.index
        edges = torch.tensor([rows.start * width, rows.stop * width], device=index.device)
        first, last = torch.searchsorted(index, edges.to(index.dtype)).tolist()
        return slice(first, last)

    def _find(
        self, rows: NDArray[np.intp], columns: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Where in the list each place is, and whether it is there at all."""
        index = self.delta.index
        wanted = torch.from_numpy(rows * self.delta.shape[1] + columns).to(index.device)
        places = torch.searchsorted(index, wanted.to(index.dtype))
        if not len(index):
            return places.cpu().numpy(), np.zeros(len(rows), np.bool_)
        places = places.clamp_(max=len(index) - 1)
        return places.cpu().numpy(), (index[places] == wanted).cpu().numpy()


def entries(delta: Sparse) -> Entries:
    """A change as entries, the largest from 0.5 to 1."""
    values, power = unit(delta.values.detach())
    return Entries(delta, values.float(), power)
