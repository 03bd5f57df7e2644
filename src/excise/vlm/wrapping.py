"""Getting at a model through what PEFT, DDP and the Trainer put around it, and standing in for it.

The wrappers keep the very same module objects inside, so what is replaced on an inner module for
the time of a block is what the wrapped model uses as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import PreTrainedModel


def unwrapped(model: nn.Module) -> PreTrainedModel:
    """The model itself: the outermost transformers model inside the wrappers.

    Raises:
        TypeError: there is none, which is a mistake of the caller.
    """
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            return module
    raise TypeError(f"{type(model).__name__}: no transformers model inside")


def core(model: PreTrainedModel) -> nn.Module | None:
    """The model without its head, as the model itself calls it; None if it is not kept apart."""
    found: Any = model.base_model
    return None if found is model or not isinstance(found, nn.Module) else found


@contextmanager
def standing_in(owner: nn.Module, name: str, value: Any) -> Iterator[None]:
    """`value` in place of a method of one object, inside the block only.

    Other replacements (accelerate's, say) are found again as they were.
    """
    before = owner.__dict__.get(name, _NOTHING)
    owner.__dict__[name] = value
    try:
        yield
    finally:
        if before is _NOTHING:
            del owner.__dict__[name]
        else:
            owner.__dict__[name] = before


_NOTHING = object()
