"""The changes that an edit combines, one weight matrix at a time.

`Adapters` keeps the low-rank factors of a run and builds the dense products of one module when it
is asked for them: next to nothing is held, and each pass over the modules pays for the products.
`Dial` holds the products of all modules, so that turning k costs the mask and the addition only:
4 bytes for each entry of each touched matrix, for every branch and once more for the anchor. For
small models and sweeps; a 7B model would need some 50 GiB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from excise.records.errors import InputError
from excise.weights.delta import LowRank, read_adapter

Device = torch.device | str


@dataclass(frozen=True, eq=False)
class Products:
    """The dense changes to one weight matrix, float32, each (out, in).

    A branch that does not touch this matrix is None; so is the anchor of a run without one. The
    norms are Frobenius norms, taken from the factors.
    """

    branches: tuple[Tensor | None, ...]
    branch_norms: tuple[float, ...]
    anchor: Tensor | None
    anchor_norm: float


class Source(Protocol):
    """Where an edit takes its changes from: `Adapters`, or a `Dial` that holds them ready."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, int]]:
        """The touched modules in a fixed order, with the (out, in) of their weights."""

    def products(self, module: str, device: Device) -> Products: ...


class Adapters:
    """The adapters of a run as low-rank factors."""

    def __init__(self, folder: Path, branches: Sequence[str], anchor: str | None) -> None:
        """Read them and check that they fit together.

        Raises:
            InputError: an adapter cannot be read, two of them disagree on a module's shape, or the
                anchor has nothing for a module that a branch changes.
        """
        self._branches = [read_adapter(folder / name) for name in branches]
        self._anchor = None if anchor is None else read_adapter(folder / anchor)
        shapes: dict[str, tuple[int, int]] = {}
        for name, adapter in zip(branches, self._branches, strict=True):
            for module, delta in adapter.items():
                _same_shape(folder / name, module, delta, shapes.setdefault(module, delta.shape))
        if self._anchor is not None and anchor is not None:
            for module, shape in shapes.items():
                if module not in self._anchor:
                    raise InputError(f"{folder / anchor}: {module} is missing; a branch changes it")
                _same_shape(folder / anchor, module, self._anchor[module], shape)
        self.shapes: Mapping[str, tuple[int, int]] = dict(sorted(shapes.items()))

    def products(self, module: str, device: Device = "cpu") -> Products:
        """The dense changes to one module, computed on the given device."""
        branches = [adapter.get(module) for adapter in self._branches]
        anchor = None if self._anchor is None else self._anchor[module]
        return Products(
            tuple(None if delta is None else delta.to(device).dense() for delta in branches),
            tuple(0.0 if delta is None else delta.norm() for delta in branches),
            None if anchor is None else anchor.to(device).dense(),
            0.0 if anchor is None else anchor.norm(),
        )


class Dial:
    """Every dense product of a source, computed once and held (see the module for the cost)."""

    def __init__(self, source: Source, device: Device = "cpu") -> None:
        self.shapes = source.shapes
        self._products = {module: source.products(module, device) for module in source.shapes}

    def products(self, module: str, device: Device = "cpu") -> Products:
        """The held changes to one module; copied only if another device is asked for."""
        held = self._products[module]
        return Products(
            tuple(None if delta is None else delta.to(device) for delta in held.branches),
            held.branch_norms,
            None if held.anchor is None else held.anchor.to(device),
            held.anchor_norm,
        )


def _same_shape(path: Path, module: str, delta: LowRank, shape: tuple[int, int]) -> None:
    if delta.shape != shape:
        raise InputError(f"{path}: {module}: shape {delta.shape}; another adapter has {shape}")
