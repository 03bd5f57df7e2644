"""A budget of entries: the few places of all matrices at which a change matters most.

A saliency is asked of every entry, `|change|` or `|change * gradient|` (what changing the entry
alone does to a loss, to first order), and the largest of all matrices together are chosen, exactly
as many as the budget allows: one threshold for the whole model, so that a layer that matters more
gets more.

Nothing is sorted and no matrix is held: sizes of float32 order as their bits do, so passes over the
tiles count them by their upper 16 and lower 15 bits and find the threshold, and a last one collects
what is above it. Of equals at the threshold the first in order are taken.

Cost: four times the edit's tiles, a block of rows and its bits in memory, and the chosen places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from excise.records.errors import InputError
from excise.weights.sparse import Sparse, compact
from excise.weights.tiles import delta_tiles
from excise.weights.tiles_plan import place

if TYPE_CHECKING:
    from excise.weights.edit import EditSpec
    from excise.weights.products import Source

Gradient = Callable[[str], Tensor]
"""The gradient of a loss at the weight of a module, (out, in), on the CPU."""


def select(
    source: Source, spec: EditSpec, share: float, *, gradient: Gradient | None = None
) -> dict[str, Tensor]:
    """The places of the most salient entries of an edit, by module.

    Args:
        share: of all entries of the edit's matrices, above 0 and at most 1.
        gradient: makes the saliency `|change * gradient|`; it is asked four times for each module.

    Returns:
        For each module with any, rising flat places, int32 or int64. Together they are
        `int(share * entries)`, or all entries of a saliency above zero if those are fewer.

    Raises:
        InputError: the share leaves no entry, a saliency is not finite, or all are zero.
    """
    entries = sum(rows * columns for rows, columns in source.shapes.values())
    budget = int(share * entries) if 0 < share <= 1 else 0
    if budget < 1:
        raise InputError(f"budget {share:g}: expected a share, one of {entries} entries at least")
    threshold, left = _threshold(source, spec, budget, gradient)
    chosen: dict[str, Tensor] = {}
    for module, shape in source.shapes.items():
        parts: list[Tensor] = []
        for first, sizes in _sizes(source, module, spec, gradient):
            found = sizes > threshold
            equal = np.flatnonzero(sizes == threshold)[:left]
            left -= len(equal)
            found[equal] = True
            places = torch.from_numpy(np.flatnonzero(found) + first)
            parts.append(compact(places, shape[0] * shape[1]))
        if len(places := torch.cat(parts)):
            chosen[module] = places
    return chosen


def within(source: Source, spec: EditSpec, chosen: Mapping[str, Tensor]) -> dict[str, Sparse]:
    """An edit's change at the chosen places, and none elsewhere, as sparse changes."""
    cut: dict[str, Sparse] = {}
    for module, index in chosen.items():
        shape = source.shapes[module]
        parts: list[Tensor] = []
        for rows, block in delta_tiles(source, module, spec):
            edges = torch.tensor([rows.start, rows.stop], dtype=torch.int64) * shape[1]
            first, last = torch.searchsorted(index.long(), edges).tolist()
            parts.append(block.view(-1)[index[first:last].long() - int(edges[0])])
        cut[module] = Sparse(shape, compact(index, shape[0] * shape[1]), torch.cat(parts))
    return cut


def _sizes(
    source: Source, module: str, spec: EditSpec, gradient: Gradient | None
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The saliencies of a module in pieces, each with the flat place of its first."""
    factor = None if gradient is None else gradient(module).detach()
    if factor is not None and tuple(factor.shape) != source.shapes[module]:
        raise InputError(f"{module}: gradient {tuple(factor.shape)}; expected the weight's shape")
    for rows, block in delta_tiles(source, module, spec):
        sizes = block.abs() if factor is None else block.mul(factor[rows].float()).abs_()
        if not bool(sizes.isfinite().all()):
            raise InputError(f"{module}: a saliency is not finite")
        yield rows.start * block.shape[1], sizes.view(-1).numpy()


def _threshold(
    source: Source, spec: EditSpec, budget: int, gradient: Gradient | None
) -> tuple[float, int]:
    """The size of the entry at place `budget`, and how many of that size are within the budget."""
    upper = _counts(source, spec, gradient, None)
    zero = _counts(source, spec, gradient, 0)[0]
    budget = min(budget, int(upper.sum() - zero))
    if budget < 1:
        raise InputError("budget: every saliency is zero, so no entry matters more than another")
    group, rest = place(upper, budget)
    lower, left = place(_counts(source, spec, gradient, group), rest)
    return float(np.array([group << 15 | lower], np.int32).view(np.float32)[0]), left


def _counts(
    source: Source, spec: EditSpec, gradient: Gradient | None, group: int | None
) -> NDArray[np.int64]:
    """How many sizes have each upper half, or each lower half within one group."""
    counts = np.zeros(1 << 16, np.int64)
    for module in source.shapes:
        for _, sizes in _sizes(source, module, spec, gradient):
            bits = sizes.view(np.int32)
            halves = bits >> 15 if group is None else bits[bits >> 15 == group] & 0x7FFF
            counts += np.bincount(halves, minlength=1 << 16)
    return counts
