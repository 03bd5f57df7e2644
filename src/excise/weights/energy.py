"""Where an edit goes: how much of the forgetting change each matrix holds, and how much was cut.

Energy is the squared Frobenius norm of a change. An entry is cut where the mask is true, averaged
over branches; it is touched where the change that is applied is not zero.

Cost: one pass over the dense changes; no model is changed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from excise.weights.edit import Branch, EditSpec, change, sculpted
from excise.weights.products import Products, Source

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
        products = source.products(module, "cpu")
        before, after = change(products, plain), change(products, spec)
        cuts = [_cut(products, index, branch, spec) for index, branch in enumerate(spec.branches)]
        yield (
            module,
            Footprint(
                entries=rows * columns,
                before=_energy(before),
                after=_energy(after),
                cut=sum(cuts) / len(cuts),
                touched=int(after.count_nonzero()),
            ),
        )


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


def _cut(products: Products, index: int, branch: Branch, spec: EditSpec) -> int:
    before, after = products.branches[index], sculpted(products, index, branch, spec)
    if before is None or after is None:
        return 0
    # Only entries that are not zero are ever cut: each test of the mask asks for |f| > 0.
    return int(before.count_nonzero()) - int(after.count_nonzero())


def _energy(delta: Tensor) -> float:
    return float(torch.linalg.vector_norm(delta, dtype=torch.float64)) ** 2


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
