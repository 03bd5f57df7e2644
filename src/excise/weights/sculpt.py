"""Sculpt-Memory-Forgetting-Adapter: mask a forgetting change against a retaining anchor's change.

Where the two changes pull one weight in opposite directions, and the forgetting change is large
beside the anchor's (k times, after both are brought to one norm), it is set to zero; elsewhere it
stays as it is. Pure functions on float32 tensors of one weight matrix's shape.

Source: SMFA, arXiv 2511.20196 (ECCV 2026), the equations of the direction conflict C, the relative
magnitude R, the mask M = C * R and the sculpted change.

Cost: a handful of passes over the matrix; temporaries are a few boolean matrices and one or two
float32 ones.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from excise.records.errors import InputError, did_you_mean

Criterion = Literal["none", "both", "direction", "magnitude"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
EPS = 1e-8


def conflict(f: Tensor, a: Tensor) -> Tensor:
    """C: true where `f * a < 0`; a bool tensor of the same shape.

    Signs are compared instead of multiplying, because the product of two tiny numbers underflows to
    zero and would hide the conflict.
    """
    return ((f < 0) & (a > 0)) | ((f > 0) & (a < 0))


def rho(f_norm: float, a_norm: float, eps: float = EPS) -> float:
    """The ratio of the two Frobenius norms, `||f|| / (||a|| + eps)`, for one weight matrix."""
    return f_norm / (a_norm + eps)


def outweighs(f: Tensor, a: Tensor, k: float, rho: float) -> Tensor:
    """R: true where `k * rho * |a| < |f|`; a bool tensor of the same shape.

    Together with the conflict it says where the forgetting change is cut, as the paper's equation
    has it; a larger k makes it true in fewer places. With k = 0 it is true wherever f is not zero.
    """
    # Finite, so that a huge k times a zero stays zero instead of becoming NaN.
    factor = min(k * rho, torch.finfo(f.dtype).max)
    return a.abs().mul_(factor) < f.abs()


def mask(
    f: Tensor,
    a: Tensor,
    *,
    k: float,
    criterion: Criterion = "both",
    eps: float = EPS,
    norms: tuple[float, float] | None = None,
) -> Tensor:
    """M: true where the forgetting change is cut; a bool tensor of the same shape.

    Args:
        f: the forgetting change; compared in float32 even where it is stored in less.
        a: the anchor's change, of the same shape.
        k: the dial, `k >= 0`; larger cuts less. Not used by "none" and "direction".
        criterion: "both" (the paper's M = C * R), one of its halves, or "none".
        eps: guards the ratio against an anchor of norm zero.
        norms: the Frobenius norms of f and a where the caller has them cheaper or more exactly.

    Raises:
        InputError: k is negative or not finite, or the criterion is unknown.
        ValueError: the shapes differ.
    """
    if f.shape != a.shape:
        raise ValueError(f"changes of different shapes: {tuple(f.shape)} and {tuple(a.shape)}")
    require_dial(k)
    require_criterion(criterion)
    if criterion == "none":
        return torch.zeros_like(f, dtype=torch.bool)
    if criterion == "direction":
        return conflict(f, a)
    f, a = _at_least_float32(f), _at_least_float32(a)
    larger = outweighs(f, a, k, rho(*(norms or (_norm(f), _norm(a))), eps))
    return larger if criterion == "magnitude" else larger.logical_and_(conflict(f, a))


def sculpt(
    f: Tensor,
    a: Tensor,
    *,
    k: float,
    criterion: Criterion = "both",
    eps: float = EPS,
    norms: tuple[float, float] | None = None,
) -> Tensor:
    """The sculpted change `f * (1 - M)`, a new tensor; arguments and errors as for `mask`."""
    return f.masked_fill(mask(f, a, k=k, criterion=criterion, eps=eps, norms=norms), 0.0)


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _norm(x: Tensor) -> float:
    # Squares of changes below 1e-19 vanish in float32.
    return float(torch.linalg.vector_norm(x, dtype=torch.float64))


def require_dial(k: float) -> None:
    """Raise InputError unless k is a finite number that is not negative."""
    number = isinstance(k, int | float) and not isinstance(k, bool)
    if not number or not math.isfinite(k) or k < 0:
        raise InputError(f"k: {k!r}; expected a finite number, 0 or larger")


def require_criterion(name: str) -> Criterion:
    """The criterion of that name; InputError with the nearest one if there is none."""
    for criterion in CRITERIA:
        if name == criterion:
            return criterion
    expected = ", ".join(CRITERIA)
    hint = did_you_mean(name, CRITERIA)
    raise InputError(f"criterion: {name!r}; expected one of {expected}{hint}")
