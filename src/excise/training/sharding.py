"""The frozen layers of the language model spread over the processes while an adapter is trained.

torch's `fully_shard` (FSDP2) keeps one part of each layer's weights on each process, puts a layer
together when it is run, forward and backward, and drops it again: a process holds 1/N of the
layers, and one or two whole layers at a time. The price is three times the layers' size in traffic
a step.

Left whole on every process:
- the adapter: it is small (0.5 % of a 7B model at rank 16), and so optimiser, clipping and
  checkpoints are those of one process;
- vision tower and projector: a process with text rows only does not run them, and the others would
  wait for it for ever;
- embeddings and head, whose weights a loss may use without running the module.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from excise.records.errors import InputError
from excise.training.world import World


@contextmanager
def sharded(
    model: nn.Module, language_model: str, targets: Sequence[str], world: World
) -> Iterator[None]:
    """Spread the layers that hold the targets, and put them back bit for bit afterwards.

    After an exception the weights are not put back, since that needs every process and the others
    may have gone: the model must be loaded anew.

    Args:
        model: with the adapter in it already.
        language_model: its module's name; it runs in every forward pass, pictures or not.
        targets: names of the adapted modules.

    Raises:
        InputError: a layer holds weights that cannot be spread (4-bit ones).
    """
    if not world.sharded:
        yield
        return
    # here: torch 2.7 or newer, which one process does not need
    from torch.distributed._composable_state import _module_state_mapping
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    root = model.get_submodule(language_model)
    layers = [model.get_submodule(name) for name in _layers(model, targets)]
    frozen = {
        parameter: (module, name)
        for layer in layers
        for module in layer.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if not parameter.requires_grad
    }
    if any(not parameter.is_floating_point() for parameter in frozen):
        raise InputError("quantised weights cannot be sharded, expected a launch without FSDP")
    touched = {module for top in (root, *layers) for module in top.modules()}
    before = [(module, type(module), _shallow(module)) for module in touched]
    mesh = init_device_mesh(next(iter(frozen)).device.type, (world.size,))
    for layer in layers:
        adapter = {p for p in layer.parameters() if p.requires_grad}
        fully_shard(layer, mesh=mesh, reshard_after_forward=True, ignored_params=adapter)
    fully_shard(root, mesh=mesh, ignored_params=set(root.parameters()))  # orders the layers' work
    parts: dict[nn.Parameter, Any] = {
        parameter: module._parameters[name] for parameter, (module, name) in frozen.items()
    }
    for parameter in parts:
        parameter.data = parameter.data.new_empty(0)
    try:
        yield
        with torch.no_grad():
            for parameter, part in parts.items():
                parameter.data = _whole(part)
    finally:
        # torch has no way back from `fully_shard`: classes, hooks and parameters are set anew, and
        # what it notes down outside of the modules goes, or a second fit could not shard them.
        for module, kind, attributes in before:
            _module_state_mapping.pop(module, None)
            module.__class__ = kind
            module.__dict__.clear()
            module.__dict__.update(attributes)


def _layers(model: nn.Module, targets: Sequence[str]) -> list[str]:
    """The outermost list entries (`...layers.3`) on the way to each target."""
    lists = {name for name, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    found: dict[str, None] = {}
    for target in targets:
        path = target.split(".")
        for end in range(1, len(path)):
            if ".".join(path[:end]) in lists:
                found[".".join(path[: end + 1])] = None
                break
    return [*found]


def _shallow(module: nn.Module) -> dict[str, Any]:
    return {
        name: copy.copy(value) if isinstance(value, (dict, set, list)) else value
        for name, value in module.__dict__.items()
    }


def _whole(part: Any) -> Tensor:
    whole: Tensor = part.full_tensor()
    return whole
