"""Adding dense changes to a model's weights in place, and taking them off bit for bit.

Adding and then subtracting would leave rounding behind, so the original of every touched weight is
kept, as a copy on the CPU: that is the price, once the size of the touched weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, MutableMapping

import torch
from torch import Tensor, nn

from excise.records.errors import InputError


def targets(model: nn.Module, shapes: Mapping[str, tuple[int, int]]) -> dict[str, Tensor]:
    """The weights that the named modules hold, checked one and all before anything is changed.

    Raises:
        InputError: no module is named; a module is missing, is no plain `nn.Linear`, has another
            shape, is quantised or not in memory, or shares its weight with another module.
    """
    if not shapes:
        raise InputError("the run changes no module")
    modules = dict(model.named_modules())
    uses = Counter(id(p) for _, p in model.named_parameters(remove_duplicate=False))
    weights: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        module = modules.get(name)
        if module is None:
            raise InputError(f"{name}: the run changes this module, which the model does not have")
        if not isinstance(module, nn.Linear):
            kind = type(module).__name__
            raise InputError(f"{name}: is a {kind}; expected a plain Linear without an adapter")
        weight = module.weight
        if weight.is_meta:
            raise InputError(f"{name}: its weight is not in memory (offloaded)")
        if not weight.is_floating_point() or weight.element_size() < 2:
            raise InputError(
                f"{name}: its weight is quantised ({weight.dtype}), to which no run can be "
                "applied; load the model without --quantize"
            )
        if tuple(weight.shape) != shape:
            raise InputError(f"{name}: shape {tuple(weight.shape)}; the run was made for {shape}")
        if uses[id(weight)] > 1:
            raise InputError(f"{name}: its weight is tied to another module's")
        weights[name] = weight.detach()  # torch counts what is written to it, `.data` hides it
    return weights


def add(
    weights: Mapping[str, Tensor],
    deltas: Iterable[tuple[str, Tensor]],
    originals: MutableMapping[str, Tensor],
) -> None:
    """Add each change to its weight: in float32, then rounded to the weight's own type.

    `originals` receives a CPU copy of every weight before that weight is changed, so that the
    caller can restore also after an exception half-way.

    Raises:
        InputError: a weight would not be finite (an fp16 overflow, say).
    """
    for name, delta in deltas:
        weight = weights[name]
        originals[name] = weight.detach().to("cpu", copy=True)
        wide = weight.to(torch.promote_types(weight.dtype, torch.float32))
        weight.copy_(wide + delta.to(weight.device))
        if not torch.isfinite(weight).all():
            raise InputError(f"{name}: the edited weight is not finite in {weight.dtype}")


def restore(model: nn.Module, originals: Mapping[str, Tensor]) -> None:
    """Put kept weights back.

    Raises:
        InputError: the model was cast to another type meanwhile, so that the exact bits are lost.
    """
    modules = dict(model.named_modules())
    for name, original in originals.items():
        weight = modules[name].weight
        if not isinstance(weight, Tensor) or weight.dtype != original.dtype:
            raise InputError(f"{name}: no longer of type {original.dtype}; load the model anew")
        weight.detach().copy_(original)
