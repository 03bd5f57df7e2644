"""Edits as pure functions on tiles: how the changes of several branches become one.

Each takes float32 tiles of one shape, one a branch, and returns a tile; none looks beyond its own
entries, so the engine can give it any part of a matrix. What needs a figure of the whole matrix
(the norms of the mask, the threshold of a trimming) gets it as a number. Masking one branch against
the anchor comes before and is `sculpt.py`'s, in the engine `tiles_mask.py`'s.

Cost: a few passes over the tile, and temporaries of its size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

Combination = Literal["mean", "sum", "ties"]
COMBINATIONS: tuple[Combination, ...] = get_args(Combination)

Combine = Callable[[Sequence[Tensor], Sequence[float]], Tensor]


def total(parts: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """`sum of weight * part`: task arithmetic (arXiv 2212.04089); a negative weight takes off.

    With weights of 1/n it is the mean, as SMFA's separate branches are applied.
    """
    result = parts[0] * weights[0]
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        result.add_(part, alpha=weight)
    return result


def ties(parts: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """TIES: elect a sign for each entry, and average the parts that have it (arXiv 2306.01708).

    The parts are trimmed already (`trim`). The sign is that of their plain sum, plus where that is
    zero; each part that has it counts with its weight, and the sum is divided by their number: as
    in PEFT's `merge_utils.ties` with the method "total".
    """
    elected = torch.where(total(parts, [1.0] * len(parts)) >= 0, 1.0, -1.0)
    merged, count = torch.zeros_like(elected), torch.zeros_like(elected)
    for part, weight in zip(parts, weights, strict=True):
        agrees = part.sign() == elected
        merged.add_(part.masked_fill(~agrees, 0.0), alpha=weight)
        count.add_(agrees)
    return merged.div_(count.clamp_(min=1.0))


def trim(part: Tensor, threshold: float) -> Tensor:
    """The part with every entry set to zero whose size is below the threshold."""
    return part.masked_fill(part.abs() < threshold, 0.0)


COMBINE: Mapping[Combination, Combine] = {"mean": total, "sum": total, "ties": ties}
