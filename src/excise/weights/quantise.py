"""What weight-only quantisation makes of a weight: rounded to few levels, and read back.

The three schemes that models are most often served in, each as its usual library has it, computed
in float32 and returned in the weight's own type:

- `int8`: one scale an output channel, as torchao's weight-only int8 (symmetric);
- `int4`: one scale for 64 neighbours along the input, as torchao's symmetric groups;
- `nf4`: 64 neighbours in storage order, the 16 levels of a normal distribution, as bitsandbytes
  (QLoRA, arXiv 2305.14314, section 3), without its second quantisation of the scales.

No calibration, no outlier columns, activations as they are. Memory: three float32 copies of the
weight. The same bits come out on a CPU and on a GPU but for the last digit of a scale.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import pad

Scheme = Literal["int8", "int4", "nf4"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
GROUP = 64

NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
)  # fmt: skip
"""Quantiles of a standard normal distribution, scaled to [-1, 1], 0 among them."""

_EPS = torch.finfo(torch.float32).eps
_TINY = torch.finfo(torch.float32).tiny


def quantise(weight: Tensor, scheme: Scheme, group: int = GROUP) -> Tensor:
    """The weight as it is after quantisation and back.

    Args:
        weight: (out, in), any floating type and device.
        group: weights that share a scale; `int8` has one for each output channel instead.

    Returns:
        (out, in), of the same type and on the same device.
    """
    wide = weight.detach().to(torch.float32)
    if scheme == "int8":
        back = _integers(wide, 8, wide.shape[1])
    elif scheme == "int4":
        back = _integers(wide, 4, group)
    else:
        back = _normal(wide, group)
    return back.to(weight.dtype)


def _integers(weight: Tensor, bits: int, group: int) -> Tensor:
    """Symmetric, to nearest and ties to even: `scale = max |w| / (2^(bits-1) - 1/2)`.

    A group that a row is too short for has fewer members.
    """
    rows, columns = weight.shape
    top = 2 ** (bits - 1)
    grouped = pad(weight, (0, -columns % group)).view(rows, -1, group)
    scale = (grouped.abs().amax(-1, keepdim=True) / (top - 0.5)).clamp_min(_EPS)
    levels = (grouped * (1 / scale)).round_().clamp_(-top, top - 1)
    back: Tensor = levels.mul_(scale).view(rows, -1)
    return back[:, :columns]


def _normal(weight: Tensor, group: int) -> Tensor:
    """The nearest of the 16 levels, the lower one at a tie, times the block's `max |w|`."""
    levels = torch.tensor(NF4, dtype=torch.float64)
    borders = ((levels[1:] + levels[:-1]) / 2).to(weight)
    blocks = pad(weight.reshape(-1), (0, -weight.numel() % group)).view(-1, group)
    most = blocks.abs().amax(-1, keepdim=True)
    numbers = torch.bucketize(blocks * (1 / most.clamp_min(_TINY)), borders, out_int32=True)
    back = levels.to(weight)[numbers] * most
    return back.view(-1)[: weight.numel()].view_as(weight)
