"""Changes of one module `m`, drawn from seeds, and the edits of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from excise.weights.delta import LowRank
from excise.weights.edit import EditSpec
from excise.weights.products import Products
from excise.weights.sculpt import EPS


class Given:
    """A source of one module, `m`."""

    def __init__(self, branches: Sequence[LowRank | None], anchor: LowRank | None = None) -> None:
        norms = tuple(0.0 if b is None else b.norm() for b in branches)
        self.held = Products(tuple(branches), norms, anchor, anchor.norm() if anchor else 0.0)
        self.shapes = {"m": self.held.shape}

    def products(self, module: str, device: Any = "cpu") -> Products:
        return self.held


def spec(criterion: str = "both", ks: Sequence[float] = (1.0,), **more: Any) -> EditSpec:
    """An edit with a branch for each k, `f0`, `f1` and so on."""
    weights = more.pop("weights", [1.0] * len(ks))
    branches = [
        {"adapter": f"f{i}", "k": k, "weight": w}
        for i, (k, w) in enumerate(zip(ks, weights, strict=True))
    ]
    anchor = None if criterion == "none" else "anchor"
    return EditSpec.parse(
        {"criterion": criterion, "branches": branches, "anchor": anchor, **more}, "edit"
    )


def drawn(seed: int, rank: int, shape: tuple[int, int], size: float = 0.1) -> LowRank:
    generator = torch.Generator().manual_seed(seed)
    b = torch.randn(shape[0], rank, generator=generator)
    a = torch.randn(rank, shape[1], generator=generator)
    return LowRank(b * size, a * size, 0.7)


def dense(delta: LowRank) -> Tensor:
    """The change in float64."""
    return delta.scale * (delta.b.double() @ delta.a.double())


def reference(f: LowRank, a: LowRank, k: float, criterion: str) -> Tensor:
    """The sculpted change by the paper's equations, literally, in float64."""
    wide, anchor = dense(f), dense(a)
    weight = min(k * float(wide.norm() / (anchor.norm() + EPS)), 1e308)
    # Signs, because the product of two tiny numbers is zero in float64 too.
    conflict = wide.sign() * anchor.sign() < 0
    larger = weight * anchor.abs() < wide.abs()
    cut = {"both": conflict & larger, "direction": conflict, "magnitude": larger}.get(criterion)
    return wide if cut is None else wide.masked_fill(cut, 0.0)
