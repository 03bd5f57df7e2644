"""All that is done to one weight matrix, made ready: its branches' factors, masks and combination.

Cost: float32 copies of the factors. An edit that trims goes through the tiles of each branch twice
more, to find its threshold without holding the matrix.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from excise.records.errors import InputError
from excise.weights.changes import Change
from excise.weights.edits import COMBINE, Combine, trim
from excise.weights.products import Products
from excise.weights.sculpt import rho
from excise.weights.threads import one_thread_each
from excise.weights.tiles_mask import Sculptor, sculptor
from excise.weights.tiles_schedule import Space, each_tile

if TYPE_CHECKING:
    from excise.weights.edit import Branch, EditSpec


@dataclass(frozen=True, eq=False)
class Plan:
    """The change to one matrix as a function of tiles: of the branches that touch it."""

    shape: tuple[int, int]
    device: torch.device
    parts: tuple[Sculptor, ...]
    weights: tuple[float, ...]
    combine: Combine
    thresholds: tuple[float, ...] = field(default=())

    @property
    def alone(self) -> bool:
        """Whether the change is one branch's, as it is."""
        return self.weights == (1.0,) and not self.thresholds

    @property
    def huge(self) -> bool:
        """Whether even a float32 weight might overflow."""
        return any(part.f.power > 100 for part in self.parts)

    def each_tile(self, work: Callable[[slice, Space], None], rows: range | None = None) -> None:
        """Go through the tiles of some rows, or of all."""
        rows = range(self.shape[0]) if rows is None else rows
        each_tile(rows, self.shape[1], self.device, len(self.parts), work)

    def tile(self, rows: slice, space: Space) -> tuple[Tensor, float]:
        """The change of one tile as a buffer, valid until the next call, and what to multiply by.

        That is a power of two; 1 unless one branch stands alone.
        """
        if self.alone:
            part = self.parts[0]
            return part.tile(rows, space), 2.0**part.f.power
        tiles = [self.part(index, rows, space) for index in range(len(self.parts))]
        if self.thresholds:
            tiles = [trim(*pair) for pair in zip(tiles, self.thresholds, strict=True)]
        return self.combine(tiles, self.weights), 1.0

    def part(self, index: int, rows: slice, space: Space) -> Tensor:
        """One branch's sculpted change, in the buffer of its own where there are several."""
        part = self.parts[index]
        tile = part.tile(rows, space)
        own = space.matrix(3 + index, len(tile)) if len(self.parts) > 1 else tile
        return torch.mul(tile, 2.0**part.f.power, out=own)


def plan(products: Products, spec: EditSpec, module: str, device: torch.device) -> Plan:
    """The edit of one module made ready.

    Raises:
        InputError: no branch changes the module, or a change is too large for float32.
    """
    with one_thread_each():
        chosen = [
            (branch, _sculptor(branch, delta, norm, products, spec, module))
            for branch, delta, norm in zip(
                spec.branches, products.branches, products.branch_norms, strict=True
            )
            if delta is not None
        ]
    if not chosen:
        raise InputError(f"{module}: no branch changes this module")
    parts = tuple(part for _, part in chosen)
    share = 1 / len(spec.branches)
    weights = tuple(share if spec.combine == "mean" else branch.weight for branch, _ in chosen)
    made = Plan(products.shape, device, parts, weights, COMBINE[spec.combine])
    if spec.combine != "ties":
        return made
    keep = int((spec.density or 1.0) * made.shape[0] * made.shape[1])
    return replace(made, thresholds=tuple(_threshold(made, i, keep) for i in range(len(parts))))


def _sculptor(
    branch: Branch, delta: Change, norm: float, products: Products, spec: EditSpec, module: str
) -> Sculptor:
    weight = (branch.k or 0.0) * rho(norm, products.anchor_norm, spec.eps)
    part = sculptor(delta, products.anchor, criterion=spec.criterion, weight=weight)
    if part.f.power > 126:
        raise InputError(f"{module}: the change of {branch.adapter} is too large for float32")
    return part


def _threshold(made: Plan, index: int, keep: int) -> float:
    """The size of the entry of one branch that comes at place `keep` when the largest come first.

    Sizes of float32 order as their bits do: one pass counts them by their upper 16 bits, the other
    one by the lower 15 within the group that holds the place.
    """
    if keep >= made.shape[0] * made.shape[1]:
        return 0.0
    if keep == 0:
        return math.inf
    upper, keep = place(_counts(made, index, None), keep)
    lower, _ = place(_counts(made, index, upper), keep)
    return float(np.array([upper << 15 | lower], np.int32).view(np.float32)[0])


def _counts(made: Plan, index: int, group: int | None) -> NDArray[np.int64]:
    """How many sizes have each upper half, or each lower half within one group."""
    counts, lock = np.zeros(1 << 16, np.int64), Lock()

    def count(rows: slice, space: Space) -> None:
        sizes = made.part(index, rows, space).abs_()
        bits = sizes.view(torch.int32).view(-1).cpu().numpy()
        halves = bits >> 15 if group is None else bits[bits >> 15 == group] & 0x7FFF
        here = np.bincount(halves, minlength=1 << 16)
        with lock:
            counts[:] += here

    made.each_tile(count)
    return counts


def place(counts: NDArray[np.int64], keep: int) -> tuple[int, int]:
    """The group that holds place `keep` from the top, and the place within it.

    `counts` says how many there are in each group, the lowest first; `keep` starts from 1.
    """
    above = np.cumsum(counts[::-1])[::-1]  # of this group or higher
    group = int(np.flatnonzero(above >= keep)[-1])
    return group, keep - int(above[group] - counts[group])
