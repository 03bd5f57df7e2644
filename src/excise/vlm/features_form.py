"""What a model says about pictures, taken apart, joined for several pictures, and told apart again.

`get_image_features` returns, by family, one tensor for all pictures, a list with a tensor for each
(`pooler_output`), and features for single layers of the language model (`deepstack_features`, a
list over layers). Towers without that method return `last_hidden_state`. The hidden states of every
layer, which some models carry along, are left out: nothing reads them and they are large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

Value = Any
"""A tensor, a number, or a list of values; with dictionaries of them at the top."""

_CARRIED_ALONG = ("hidden_states", "attentions")
_OF_PICTURES = ("pooler_output", "last_hidden_state")
"""Fields whose lists run over pictures; lists in other fields run over layers first."""


def taken(output: Any) -> dict[str, Value] | None:
    """The fields of a model's output that its forward pass uses; None if it is of another form."""
    if not isinstance(output, dict):  # a ModelOutput is one
        return None
    # Some models set fields as attributes that the class does not have.
    fields = {**vars(output), **output}
    found = {
        name: _mapped(value, lambda tensor: tensor.detach())
        for name, value in fields.items()
        if name not in _CARRIED_ALONG and value is not None and not name.startswith("_")
    }
    if "pooler_output" in found:
        found.pop("last_hidden_state", None)
    return found if any(name in found for name in _OF_PICTURES) else None


def joined(parts: Sequence[dict[str, Value]], device: torch.device) -> BaseModelOutputWithPooling:
    """The output for several pictures, as the model would make it of all of them at once."""
    given = [_mapped(part, lambda t: t.to(device, non_blocking=True)) for part in parts]
    fields = {
        name: _joined([part[name] for part in given], layered=name not in _OF_PICTURES)
        for name in given[0]
    }
    known = {name: fields.pop(name) for name in _OF_PICTURES if name in fields}
    output = BaseModelOutputWithPooling(**known)
    for name, value in fields.items():
        setattr(output, name, value)
    return output


def _joined(values: Sequence[Value], *, layered: bool) -> Value:
    first = values[0]
    if isinstance(first, Tensor):
        return torch.cat([*values])
    if isinstance(first, list):
        if layered or not all(isinstance(item, Tensor) for item in first):
            return [_joined([*items], layered=False) for items in zip(*values, strict=True)]
        return [item for value in values for item in value]
    return first  # a number, such as a layer's


def flat(value: dict[str, Value]) -> tuple[dict[str, Tensor], Any]:
    """All tensors by name, and a JSON value that says where each of them belongs."""
    tensors: dict[str, Tensor] = {}

    def name(tensor: Tensor) -> str:
        tensors[f"t{len(tensors)}"] = tensor
        return f"t{len(tensors) - 1}"

    return tensors, _mapped(value, name)


def unflat(tensors: dict[str, Tensor], form: Any) -> dict[str, Value]:
    """What `flat` took apart.

    Raises:
        KeyError: a tensor is missing.
    """
    if isinstance(form, dict):
        return {name: unflat(tensors, item) for name, item in form.items()}
    if isinstance(form, list):
        return [unflat(tensors, item) for item in form]  # type: ignore[return-value]
    return tensors[form] if isinstance(form, str) else form  # type: ignore[return-value]


def size(value: Value) -> int:
    """Bytes of all tensors in it."""
    return sum(tensor.numel() * tensor.element_size() for tensor in _tensors(value))


def mapped(value: dict[str, Value], what: Callable[[Tensor], Tensor]) -> dict[str, Value]:
    """The same with every tensor changed."""
    changed: dict[str, Value] = _mapped(value, what)
    return changed


def _mapped(value: Value, what: Callable[[Tensor], Any]) -> Value:
    if isinstance(value, Tensor):
        return what(value)
    if isinstance(value, list | tuple):
        return [_mapped(item, what) for item in value]
    if isinstance(value, dict):
        return {name: _mapped(item, what) for name, item in value.items()}
    return value


def _tensors(value: Value) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item)
