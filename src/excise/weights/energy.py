"""Where an edit goes: how much of the forgetting change each matrix holds, and how much was cut.

Energy is the squared Frobenius norm of a change. An entry is cut where the mask is true, averaged
over branches; it is touched where the change that is applied is not zero.

Cost: two passes over the tiles, and two more for each branch if there are several; no dense change
is held and no model is changed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import torch

from excise.weights.edit import EditSpec
from excise.weights.products import Only, Source
from excise.weights.tiles import delta_tiles

_NUMBERED = re.compile(r"(?:.*?\.)?(\d+)\.(.+)")


@dataclass(frozen=True)
class Footprint:
    """What an edit does to one matrix, or to several of them added up."""

    entries: int = 0
    before: float = 0.0
    after: float = 0.0
    cut: float = 0.0
    touched: int = 0

    def __add__(self, other: Footprint) -> Footprint:
        return Footprint(
            *(getattr(self, f.name) + getattr(other, f.name) for f in fields(Footprint))
        )


def footprints(source: Source, spec: EditSpec) -> Iterator[tuple[str, Footprint]]:
    """Module name and footprint, one touched matrix after the other."""
    plain = spec.turned(criterion="none")
    for module, (rows, columns) in source.shapes.items():
        before, whole = _sums(source, module, plain)
        after, touched = _sums(source, module, spec)
        if len(spec.branches) == 1:
            cut = float(whole - touched)
        else:
            cuts = [_cut(source, module, spec, index) for index in range(len(spec.branches))]
            cut = sum(cuts) / len(cuts)
        yield module, Footprint(rows * columns, before, after, cut, touched)


def energy_map(source: Source, spec: EditSpec, weights: int) -> dict[str, Any]:
    """The footprint as tables for the report.

    Args:
        weights: the number of all weights of the model.

    Returns:
        `layers` (rows) and `matrices` (columns); the tables `energy_before`, `energy_after`, `cut`
        and `touched` (shares of the matrix's entries), 0 where nothing is changed; the figures
        `share_touched` (of all weights), `share_cut` (of the entries of touched matrices) and
        `share_energy_cut`. Layer -1 stands for modules outside numbered layers.
    """
    found = dict(footprints(source, spec))
    places = _places(list(found))
    cells: dict[tuple[int, str], Footprint] = {}
    for module, footprint in found.items():
        cells[places[module]] = cells.get(places[module], Footprint()) + footprint
    layers = sorted({layer for layer, _ in cells})
    matrices = list(dict.fromkeys(matrix for _, matrix in sorted(cells)))
    grid = [[cells.get((layer, matrix), Footprint()) for matrix in matrices] for layer in layers]
    whole = sum(found.values(), Footprint())
    return {
        "layers": layers,
        "matrices": matrices,
        "energy_before": [[cell.before for cell in row] for row in grid],
        "energy_after": [[cell.after for cell in row] for row in grid],
        "cut": [[_share(cell.cut, cell.entries) for cell in row] for row in grid],
        "touched": [[_share(cell.touched, cell.entries) for cell in row] for row in grid],
        "share_touched": _share(whole.touched, weights),
        "share_cut": _share(whole.cut, whole.entries),
        "share_energy_cut": _share(whole.before - whole.after, whole.before),
    }


def _cut(source: Source, module: str, spec: EditSpec, index: int) -> int:
    """How many entries of one branch are cut."""
    alone = Only(source, index)
    if alone.products(module).branches[0] is None:
        return 0
    branch = spec.branches[index].model_copy(update={"weight": 1.0})
    one = EditSpec(criterion=spec.criterion, branches=(branch,), anchor=spec.anchor, eps=spec.eps)
    # Only entries that are not zero are ever cut: each test of the mask asks for |f| > 0.
    whole = _sums(alone, module, one.turned(criterion="none"))
    return whole[1] - _sums(alone, module, one)[1]


def _sums(source: Source, module: str, spec: EditSpec) -> tuple[float, int]:
    """The energy of a change and the number of its entries that are not zero."""
    energy, touched = 0.0, 0
    for _, block in delta_tiles(source, module, spec):
        energy += float(torch.linalg.vector_norm(block, dtype=torch.float64)) ** 2
        touched += int(block.count_nonzero())
    return energy, touched


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _places(modules: list[str]) -> dict[str, tuple[int, str]]:
    """Layer number and matrix name of each module; names are short where that is unambiguous."""
    split: dict[str, tuple[int, str]] = {}
    for module in modules:
        match = _NUMBERED.fullmatch(module)
        split[module] = (int(match[1]), match[2]) if match else (-1, module)
    shorts = Counter(rest.rpartition(".")[2] for rest in {rest for _, rest in split.values()})
    return {
        module: (layer, short if shorts[short := rest.rpartition(".")[2]] == 1 else rest)
        for module, (layer, rest) in split.items()
    }
