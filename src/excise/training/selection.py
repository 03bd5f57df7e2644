"""Training single entries of the weights themselves, through the one trainer (`fit(entries=...)`).

Methods that say where in the weights to act need no adapter: a `Selection` names the entries, one
value each is trained, and the layer computes with `W + values at the entries`, rounded to the
weight's own type, so that what is trained is what is applied. The weights themselves are never
written to. What comes of it is a sparse change (`weights/sparse.py`).

Cost: for each entry 16 bytes of value, gradient and Adam's moments, and 4 (8 in huge matrices) of
its place. The changed weight is made anew in the forward and in the backward pass, one matrix at a
time, and its whole gradient with it: nothing dense is kept between layers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from excise.records.errors import InputError
from excise.training.undisturbed import undisturbed
from excise.vlm.wrapping import standing_in
from excise.weights.sparse import Sparse, compact, write_sparse


@dataclass(frozen=True, eq=False)
class Selection:
    """Entries of weights, by the exact name of the module.

    `index` holds rising flat places, (n,); `start` what the values begin with, (n,), where that is
    not zero.
    """

    index: Mapping[str, Tensor]
    start: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """A hash of all places and starts."""
        digest = hashlib.sha256()
        for module in sorted(self.index):
            digest.update(module.encode())
            for tensor in (self.index[module].long(), self.start.get(module)):
                digest.update(b"-" if tensor is None else tensor.cpu().numpy().tobytes())
        return digest.hexdigest()

    @contextmanager
    def attached(self, model: PreTrainedModel) -> Iterator[SelectedWeights]:
        """The model with these entries to train; afterwards the model as it was.

        Raises:
            InputError: a module is no plain linear layer in memory, a place is outside of it, or
                nothing is selected.
        """
        modules = {name: _layer(model, name, self.index[name]) for name in self.index}
        if not any(len(index) for index in self.index.values()):
            raise InputError("no entries to train, expected at least one")
        with undisturbed(model), ExitStack() as inside:
            model.requires_grad_(False)
            selected = SelectedWeights(model, self)
            for name, module in modules.items():
                forward = selected.layer(name, module)
                inside.enter_context(standing_in(module, "forward", forward))
            yield selected

    def save(self, selected: SelectedWeights, base: str, out: Path) -> None:
        """Write what was trained as a sparse change; InputError if `out` cannot be written to."""
        write_sparse(out, selected.changes(), base)


class SelectedWeights(nn.Module):
    """A model around which entries of its weights are trained; its state is their values alone."""

    def __init__(self, model: PreTrainedModel, selection: Selection) -> None:
        super().__init__()
        self.model = model
        self.names = list(selection.index)
        self.values = nn.ParameterList()
        self._index: dict[str, Tensor] = {}
        self._shapes: dict[str, tuple[int, int]] = {}
        self._on = True
        for name, index in selection.index.items():
            weight = model.get_parameter(f"{name}.weight")
            start = selection.start.get(name)
            value = torch.zeros(len(index)) if start is None else start.float().clone()
            self.values.append(nn.Parameter(value.to(weight.device)))
            self._index[name] = compact(index, weight.numel()).to(weight.device)
            self._shapes[name] = (weight.shape[0], weight.shape[1])

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's own."""
        return self.model(*args, **kwargs)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The values only, so that a checkpoint holds no weights of the base."""
        return self.values.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Take over the values of a checkpoint."""
        return self.values.load_state_dict(state_dict)

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """Inside, the base alone is computed with; as PEFT calls it."""
        self._on = False
        try:
            yield
        finally:
            self._on = True

    def layer(self, name: str, module: nn.Linear) -> Any:
        """The forward pass of one layer with its trained entries."""
        values, index = self.values[self.names.index(name)], self._index[name]

        def forward(x: Tensor) -> Tensor:
            if not self._on:
                return nn.functional.linear(x, module.weight, module.bias)
            return _linear(x, module.weight, values, index, module.bias)

        return forward

    def changes(self) -> dict[str, Sparse]:
        """What was trained, on the CPU."""
        return {
            name: Sparse(self._shapes[name], self._index[name].cpu(), values.detach().cpu())
            for name, values in zip(self.names, self.values, strict=True)
        }


def _linear(
    x: Tensor, weight: Tensor, values: Tensor, index: Tensor, bias: Tensor | None
) -> Tensor:
    function: Any = _Changed
    found: Tensor = function.apply(x, weight, values, index, bias)
    return found


class _Changed(torch.autograd.Function):
    """A linear layer with `W + values at index`, which is not kept for the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, values: Tensor, index: Tensor, bias: Tensor | None
    ) -> Tensor:
        device = x.device.type
        enabled = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if enabled else x.dtype
        x = x.to(dtype)
        ctx.save_for_backward(x, weight, values, index)
        with torch.autocast(device, enabled=False):
            changed = _changed(weight, values, index).to(dtype)
            return nn.functional.linear(x, changed, None if bias is None else bias.to(dtype))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, values, index = ctx.saved_tensors
        grad = grads[0].to(x.dtype)
        with torch.autocast(x.device.type, enabled=False):
            down = None
            if ctx.needs_input_grad[0]:
                down = grad @ _changed(weight, values, index).to(x.dtype)
            own = None
            if ctx.needs_input_grad[2]:
                whole = grad.flatten(0, -2).T @ x.flatten(0, -2)
                own = whole.view(-1).index_select(0, index).to(values.dtype)
        return down, None, own, None, None


def _changed(weight: Tensor, values: Tensor, index: Tensor) -> Tensor:
    """The weight as `tiles.edit_weight` would make it: added in float32, rounded to its type."""
    wide = torch.promote_types(weight.dtype, torch.float32)
    changed = weight.detach().to(wide, copy=True)
    changed.view(-1).index_add_(0, index, values.detach().to(wide))
    return changed.to(weight.dtype)


def _layer(model: PreTrainedModel, name: str, index: Tensor) -> nn.Linear:
    module: Any = model.get_submodule(name)
    weight = module.weight if isinstance(module, nn.Linear) else None
    if weight is None or weight.is_meta or not weight.is_floating_point():
        raise InputError(f"{name}: single entries are trained in plain linear layers in memory")
    if len(index) and (int(index[0]) < 0 or int(index[-1]) >= weight.numel()):
        raise InputError(f"{name}: an entry is outside of its weight {tuple(weight.shape)}")
    assert isinstance(module, nn.Linear)
    return module
