"""The engine: a weight edited tile by tile, the change itself never in memory as a whole.

A tile of the weight is read, the changes' tiles are multiplied from their factors, masked, combined
and added in float32, and rounded to the weight's type, to nearest and ties to even. On a CPU a tile
and its few buffers stay in cache, and each thread works on tiles of its own; the same bits come out
for any number of threads. On a GPU the kernel of `kernels.py` does it in one pass where it can.

Against exact arithmetic: every cut is the equation's (`tiles_mask.py`), and the sum is wrong by a
few float32 roundings before it is rounded to the weight's type.

Cost on a CPU: three float32 buffers of a tile for each thread, some 8 MiB, beyond weight and
result.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from excise.records.errors import InputError
from excise.weights.tiles_plan import Plan, plan
from excise.weights.tiles_schedule import Space, height

if TYPE_CHECKING:
    from excise.weights.edit import EditSpec
    from excise.weights.products import Source


BLOCK = 16  # tiles


def edit_weight(
    weight: Tensor, source: Source, module: str, spec: EditSpec, *, out: Tensor | None = None
) -> Tensor:
    """The weight of `module` with the edit on it.

    Args:
        weight: the base weight, (out, in), of any float type.
        out: where the result goes, of the weight's shape and type; may be the weight itself. A new
            tensor if not given.

    Raises:
        InputError: the source does not change the module or has another shape for it, or the
            result overflows, as float16 may. `out` holds no result then. Whether the base weight
            is finite is not looked at.
        ValueError: `out` does not fit the weight.
    """
    weight = fitting(weight, source, module)
    result = torch.empty_like(weight) if out is None else out.detach()
    if result.shape != weight.shape or result.dtype != weight.dtype:
        raise ValueError(f"out is {result.dtype} {tuple(result.shape)}, not as the weight")
    made = plan(source.products(module, weight.device), spec, module, weight.device)
    write(made, weight, result, module)
    return result


def fitting(weight: Tensor, source: Source, module: str) -> Tensor:
    """The weight without its history; InputError unless the source changes it, in this shape."""
    shape = _shape(source, module)
    if tuple(weight.shape) != shape:
        raise InputError(f"{module}: shape {tuple(weight.shape)}; the run was made for {shape}")
    return weight.detach()


def write(made: Plan, weight: Tensor, out: Tensor, module: str) -> None:
    """Write the weight with a planned change on it to `out`; see `edit_weight`."""
    if _one_pass(made, weight, out):
        from excise.weights import kernels

        kernels.edit(made.parts[0], weight, out)
        if (made.huge or out.dtype == torch.float16) and not _finite(out):
            raise InputError(f"{module}: the edited weight is not finite in {out.dtype}")
        return
    wide = torch.promote_types(weight.dtype, torch.float32)

    def work(rows: slice, space: Space) -> None:
        change, power = made.tile(rows, space)
        old, new = weight[rows], out[rows]
        if wide == weight.dtype:
            torch.add(old, change.to(wide), alpha=power, out=new)
        else:
            new.copy_(space.matrix(1, len(change)).copy_(old).add_(change, alpha=power))
        # The other types hold any sum of a weight and an ordinary change.
        if (made.huge or new.dtype == torch.float16) and not _finite(new):
            raise InputError(f"{module}: the edited weight is not finite in {weight.dtype}")

    made.each_tile(work)


def delta_tiles(
    source: Source, module: str, spec: EditSpec, *, device: torch.device | str = "cpu"
) -> Iterator[tuple[slice, Tensor]]:
    """The edit's change to `module`, in blocks of full rows.

    Yields:
        The rows, and the change there: float32, (rows, in), in a buffer that is valid until the
        next block.

    Raises:
        InputError: the source does not change the module.
    """
    shape = _shape(source, module)
    device = torch.device(device)
    made = plan(source.products(module, device), spec, module, device)
    # Several tiles a block, so that every thread has work.
    step = BLOCK * height(shape[1], device)
    buffer = torch.empty(min(step, shape[0]), shape[1], device=device)
    for first in range(0, shape[0], step):
        block = range(first, min(first + step, shape[0]))

        def fill(rows: slice, space: Space, first: int = first) -> None:
            change, power = made.tile(rows, space)
            torch.mul(change, power, out=buffer[rows.start - first : rows.stop - first])

        made.each_tile(fill, block)
        yield slice(block.start, block.stop), buffer[: len(block)]


def _one_pass(made: Plan, weight: Tensor, out: Tensor) -> bool:
    """Whether the kernel can do it: one branch from its factors, on a GPU, with triton there."""
    return (
        weight.is_cuda
        and made.alone
        and made.parts[0].factored
        and weight.element_size() <= 4
        and weight.is_contiguous()
        and out.is_contiguous()
        and find_spec("triton") is not None
    )


def _shape(source: Source, module: str) -> tuple[int, int]:
    shape = source.shapes.get(module)
    if shape is None:
        raise InputError(f"{module}: the run does not change this module")
    return shape


def _finite(tile: Tensor) -> bool:
    """Whether a tile is finite: NaN and infinity survive a sum, so mostly one pass will do."""
    return bool(tile.sum().isfinite()) or bool(tile.isfinite().all())
