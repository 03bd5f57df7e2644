"""One branch's edit on a GPU in one pass: the weight read once and written once.

A program multiplies its tile of both changes from the factors, masks, adds in float32 and rounds to
the weight's type. Entries at which these products cannot tell whether to cut (see `tiles_mask.py`)
keep their weight and are listed; they alone are then computed in float64. So the cuts are the same
as on a CPU, and no order of programs shows in the result.

Imported only where triton is installed. The interpreter (TRITON_INTERPRET=1) runs the kernel on a
CPU, for the tests.

Cost: the traffic of a copy, 4 bytes an entry in 16-bit types, and `2 * rank` multiplications an
entry. Memory beyond the weight: the factors, and 8 bytes for one entry in 256.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from excise.weights.delta import LowRank
from excise.weights.tiles_factors import LEAST, UNIT, Factors
from excise.weights.tiles_mask import Sculptor

HEIGHT, WIDTH, RANKS = 64, 128, 16
LISTED = 256  # entries to each that can be listed at first
SETTLED = 1 << 16  # at a time
# Float32 products of TF32 parts run on tensor cores. They are wrong by more, and are said to be.
ROUGH = 16.0


def edit(part: Sculptor, weight: Tensor, out: Tensor) -> None:
    """Write `weight` with the sculpted change of `part` on it to `out`, which may be `weight`.

    Both are contiguous, (out, in), of one float type of at most 32 bits, on the factors' device.
    """
    room = weight.numel() // LISTED + 1024
    found, places = _launch(part, weight, out, room, write=True)
    if found > room:  # what was not listed was left alone, so it can be listed once more
        found, places = _launch(part, weight, out, found, write=False)
    for start in range(0, found, SETTLED):
        _settle(part, weight, out, places[start : min(start + SETTLED, found)])


def _launch(
    part: Sculptor, weight: Tensor, out: Tensor, room: int, *, write: bool
) -> tuple[int, Tensor]:
    """Run the kernel; how many entries it left open, and where up to `room` of them are."""
    count = torch.zeros(1, dtype=torch.int32, device=weight.device)
    places = torch.empty(room, dtype=torch.int64, device=weight.device)
    f, t = part.f, part.t or part.f
    assert isinstance(f, Factors) and isinstance(t, Factors)
    rough = weight.dtype != torch.float32 and weight.is_cuda
    rough = rough and torch.cuda.get_device_capability(weight.device) >= (8, 0)
    rows, columns = weight.shape
    grid = (triton.cdiv(rows, HEIGHT) * triton.cdiv(columns, WIDTH),)
    _kernel[grid](
        weight, out, rows, columns, 2.0**f.power,
        f.b, f.a, *_bounds(f, weight.device, rough), f.b.shape[1],
        t.b, t.a, *_bounds(t, weight.device, rough), t.b.shape[1],
        count, places, room,
        MASK=0 if part.t is None else 2 if part.magnitude else 1,
        WRITE=write, PRECISION="tf32x3" if rough else "ieee",
        HEIGHT=HEIGHT, WIDTH=WIDTH, RANKS=RANKS, num_warps=8,
    )  # fmt: skip
    return 0 if part.t is None else int(count), places


def _bounds(
    factors: Factors, device: torch.device, rough: bool
) -> tuple[Tensor, Tensor, float, float]:
    """Lengths of rows and columns; the error of a product, relative to them, and at least."""
    rank = factors.b.shape[1]
    relative = (rank + 5) * UNIT * 1.01 * (ROUGH if rough else 1.0)
    least = max(4 * rank * LEAST, 2.0**-120) * max(1.0, factors.longest)
    rows, columns = (
        torch.from_numpy(x).float().to(device) for x in (factors.rows, factors.columns)
    )
    return rows, columns, relative, least


def _settle(part: Sculptor, weight: Tensor, out: Tensor, places: Tensor) -> None:
    """Compute some entries in float64."""
    assert isinstance(part.f, Factors) and isinstance(part.t, Factors)
    rows, columns = places // weight.shape[1], places % weight.shape[1]
    f, t = (_exact(x.delta, rows, columns) for x in (part.f, part.t))
    cut = t.abs() * part.weight < f.abs()
    if not part.magnitude:
        cut &= ((f > 0) & (t > 0)) | ((f < 0) & (t < 0))
    edited = weight.view(-1)[places].double() + f.masked_fill(cut, 0.0)
    out.view(-1)[places] = edited.to(out.dtype)


def _exact(delta: LowRank, rows: Tensor, columns: Tensor) -> Tensor:
    return (delta.b[rows].double() * delta.a[:, columns].T.double()).sum(dim=1) * delta.scale


def _edit(
    w: Any, out: Any, rows: Any, columns: Any, power: Any,
    f_b: Any, f_a: Any, f_rows: Any, f_columns: Any, f_error: Any, f_least: Any, f_rank: Any,
    t_b: Any, t_a: Any, t_rows: Any, t_columns: Any, t_error: Any, t_least: Any, t_rank: Any,
    count: Any, places: Any, room: Any,
    MASK: tl.constexpr, WRITE: tl.constexpr, PRECISION: tl.constexpr,
    HEIGHT: tl.constexpr, WIDTH: tl.constexpr, RANKS: tl.constexpr,
) -> None:  # fmt: skip
    across = tl.cdiv(columns, WIDTH)
    i = (tl.program_id(0) // across) * HEIGHT + tl.arange(0, HEIGHT)
    j = (tl.program_id(0) % across) * WIDTH + tl.arange(0, WIDTH)
    below, within = i < rows, j < columns
    inside = below[:, None] & within[None, :]
    place = i.to(tl.int64)[:, None] * columns + j[None, :]
    rank = tl.arange(0, RANKS)

    f = tl.zeros((HEIGHT, WIDTH), dtype=tl.float32)
    for first in range(0, f_rank, RANKS):
        r = first + rank
        b = tl.load(
            f_b + i[:, None] * f_rank + r[None, :], below[:, None] & (r < f_rank)[None, :], 0.0
        )
        a = tl.load(
            f_a + r[:, None] * columns + j[None, :], (r < f_rank)[:, None] & within[None, :], 0.0
        )
        f = tl.dot(b, a, f, input_precision=PRECISION)
    kept, open_ = f, inside
    if MASK > 0:
        t = tl.zeros((HEIGHT, WIDTH), dtype=tl.float32)
        for first in range(0, t_rank, RANKS):
            r = first + rank
            b = tl.load(
                t_b + i[:, None] * t_rank + r[None, :], below[:, None] & (r < t_rank)[None, :], 0.0
            )
            a = tl.load(
                t_a + r[:, None] * columns + j[None, :],
                (r < t_rank)[:, None] & within[None, :],
                0.0,
            )
            t = tl.dot(b, a, t, input_precision=PRECISION)
        f_most = tl.load(f_rows + i, below, 0.0)[:, None] * tl.load(f_columns + j, within, 0.0)
        t_most = tl.load(t_rows + i, below, 0.0)[:, None] * tl.load(t_columns + j, within, 0.0)
        t_wrong = t_most * t_error + t_least
        wrong = f_most * f_error + f_least + t_wrong
        if MASK == 1:
            cut = ((t > 0) & (f > t)) | ((t < 0) & (f < t))
            doubt = (tl.abs(f - t) <= wrong) | (tl.abs(t) <= t_wrong)
        else:
            cut = tl.abs(f) > tl.abs(t)
            doubt = tl.abs(tl.abs(f) - tl.abs(t)) <= wrong
        # Where a factor has a row or column of zeros, the product is exact.
        doubt = doubt & inside & (f_most > 0) & (t_most > 0)
        kept = tl.where(cut, 0.0, f)
        open_ = inside & (doubt == 0)
        slot = tl.atomic_add(count + place * 0, 1, mask=doubt)
        tl.store(places + slot, place, mask=doubt & (slot < room))
    if WRITE:
        old = tl.load(w + place, inside, 0.0).to(tl.float32)
        tl.store(out + place, (old + kept * power).to(out.dtype.element_ty), mask=open_)


_kernel = triton.jit(_edit)
