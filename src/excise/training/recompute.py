"""Gradient checkpointing: activations of the language model's layers made again when needed.

Only each layer's input is kept (2 bytes x hidden size a token in bfloat16), and the layer is run
once more in the backward pass: for a 7B model a twentieth of the memory for activations, and about
a third more time. Gradients are the same, dropout included.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import PreTrainedModel

from excise.records.errors import InputError


@contextmanager
def recomputing(model: PreTrainedModel, language_model: str, on: bool) -> Iterator[None]:
    """Gradient checkpointing inside the block, if it is `on`.

    Args:
        model: without wrappers, an adapter in its layers or not.
        language_model: its module's name.

    Raises:
        InputError: the language model does not support it.
    """
    if not on:
        yield
        return
    layers: Any = model.get_submodule(language_model)  # whose methods have no types
    if not getattr(layers, "supports_gradient_checkpointing", False):
        raise InputError(f"{type(model).__name__}: does not support gradient checkpointing")
    # Without reentrance nothing has to require a gradient at the bottom, which would only cost.
    layers.activation_checkpointing_enable({"use_reentrant": False})
    layers.disable_input_require_grads()
    try:
        yield
    finally:
        layers.activation_checkpointing_disable()
