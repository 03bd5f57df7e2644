"""One weight under many dials, with the products of its changes computed once.

The mask alone depends on k. For one matrix at a time the dense products are held in float32 (4
bytes an entry for each branch, 4 more for the anchor) and every k costs the mask and the addition.
The weights are the very ones that `edit_weight` gives for that k. Whoever needs the whole model at
each k applies a run again and again instead (`products.Dial`): that holds nothing dense.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from excise.weights.sculpt import require_dial
from excise.weights.tiles import fitting, write
from excise.weights.tiles_entries import Entries
from excise.weights.tiles_mask import Ready, beside, ready
from excise.weights.tiles_plan import Plan, plan
from excise.weights.tiles_schedule import Space

if TYPE_CHECKING:
    from excise.weights.edit import EditSpec
    from excise.weights.products import Source

GRID = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0)


def sweep(
    source: Source, module: str, weight: Tensor, spec: EditSpec, ks: Sequence[float] = GRID
) -> Iterator[tuple[float, Tensor]]:
    """The weight of `module` under one k after the other; the weight itself stays as it is.

    Yields:
        k (the same for all branches), and the edited weight: (out, in), of the weight's type, in a
        buffer that is valid until the next.

    Raises:
        InputError: a k is negative or not a number; as for `edit_weight`.
    """
    for k in ks:
        require_dial(k)
    weight = fitting(weight, source, module)
    products = source.products(module, weight.device)
    made = plan(products, spec, module, weight.device)
    held = [_held(made, part.f) for part in made.parts]
    anchor = None
    if products.anchor is not None and any(part.t is not None for part in made.parts):
        anchor = _held(made, ready(products.anchor.negated()))
    out = torch.empty_like(weight)
    for k in ks:
        turned = plan(products, spec.turned(k), module, weight.device)
        parts = [
            replace(part, f=f, t=None if anchor is None else beside(f, anchor, part.weight))
            for part, f in zip(turned.parts, held, strict=True)
        ]
        write(replace(turned, parts=tuple(parts)), weight, out, module)
        yield k, out


def _held(made: Plan, factors: Ready) -> Ready:
    """The factors with their product, from the same tiles as ever; entries stay as they are."""
    if isinstance(factors, Entries):
        return factors
    dense = torch.empty(made.shape, device=made.device)

    def fill(rows: slice, space: Space) -> None:
        factors.multiply(rows, dense[rows])

    made.each_tile(fill)
    return replace(factors, dense=dense)
