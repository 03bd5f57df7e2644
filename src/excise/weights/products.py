"""The changes that an edit combines, one weight matrix at a time, low-rank or sparse.

Nothing dense is held: the engine (`tiles.py`) makes the changes tile by tile. `Adapters` reads
a run's branches; `Dial` keeps what a source gave, with norms and on the device where it is needed,
so that turning k reads and prepares nothing again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from excise.records.errors import InputError
from excise.weights.changes import Change, read_changes

Device = torch.device | str


@dataclass(frozen=True, eq=False)
class Products:
    """The changes to one weight matrix, each (out, in), and their Frobenius norms.

    A branch that does not touch this matrix is None; so is the anchor of a run without one. All
    have one shape, but not necessarily one rank.
    """

    branches: tuple[Change | None, ...]
    branch_norms: tuple[float, ...]
    anchor: Change | None
    anchor_norm: float

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in)."""
        return next(delta.shape for delta in self.branches if delta is not None)


class Source(Protocol):
    """Where an edit takes its changes from: `Adapters`, or a `Dial` that has them ready."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, int]]:
        """The touched modules in a fixed order, with the (out, in) of their weights."""

    def products(self, module: str, device: Device) -> Products: ...


class Adapters:
    """The branches of a run, each a LoRA or a sparse change, and its anchor."""

    def __init__(self, folder: Path, branches: Sequence[str], anchor: str | None) -> None:
        """Read them and check that they fit together.

        Raises:
            InputError: an adapter cannot be read, two of them disagree on a module's shape, or the
                anchor has nothing for a module that a branch changes.
        """
        self._branches = [read_changes(folder / name) for name in branches]
        self._anchor = None if anchor is None else read_changes(folder / anchor)
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
        """The changes to one module, on the given device."""
        branches = [adapter.get(module) for adapter in self._branches]
        anchor = None if self._anchor is None else self._anchor[module]
        return Products(
            tuple(None if delta is None else delta.to(device) for delta in branches),
            tuple(0.0 if delta is None else delta.norm() for delta in branches),
            None if anchor is None else anchor.to(device),
            0.0 if anchor is None else anchor.norm(),
        )


class Dial:
    """All changes of a source, read and measured once: for one k after another.

    It costs the factors, on the device; for every k of one matrix at a time see `sweep.py`.
    """

    def __init__(self, source: Source, device: Device = "cpu") -> None:
        self.shapes = source.shapes
        self._products = {module: source.products(module, device) for module in source.shapes}

    def products(self, module: str, device: Device = "cpu") -> Products:
        """The changes to one module; copied only if another device is asked for."""
        held = self._products[module]
        return Products(
            tuple(None if delta is None else delta.to(device) for delta in held.branches),
            held.branch_norms,
            None if held.anchor is None else held.anchor.to(device),
            held.anchor_norm,
        )


class Only:
    """One branch of a source, beside the anchor."""

    def __init__(self, source: Source, index: int) -> None:
        self._source, self._index = source, index
        self.shapes = source.shapes

    def products(self, module: str, device: Device = "cpu") -> Products:
        """The changes to one module; the branch's may be None."""
        held, here = self._source.products(module, device), slice(self._index, self._index + 1)
        return Products(held.branches[here], held.branch_norms[here], held.anchor, held.anchor_norm)


def _same_shape(path: Path, module: str, delta: Change, shape: tuple[int, int]) -> None:
    if delta.shape != shape:
        raise InputError(f"{path}: {module}: shape {delta.shape}; another adapter has {shape}")
