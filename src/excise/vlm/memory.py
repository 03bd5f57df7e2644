"""How much memory a model takes, by its shapes, and whether an error says there was too little.

The figures are for advice ("about"), before or after the fact. Those of a training step are of what
autograd keeps for the backward pass with a LoRA on frozen weights: PEFT's float32 copy of each
adapted layer's input, which is the most, then the gated activation, the norms and the attention.
Scores and logits are not in it: attention does not keep scores, and the head runs in chunks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

FOUR_BITS = 0.52
"""Bytes a weight in 4 bits, with its scales (double quantisation)."""

_SIGNS = (
    "can't allocate memory",  # torch on a CPU
    "cannot allocate memory",  # the operating system
    "out of memory",  # CUDA, MPS
    "cublas_status_alloc_failed",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, in whichever of the ways that there are."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(s in str(error).lower() for s in _SIGNS)


def gib(count: float) -> str:
    """Bytes for people: `13.2 GiB`, or MiB below one GiB."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def weight_bytes(modules: Iterable[nn.Parameter]) -> int:
    """Bytes of weights as they are in memory."""
    return sum(p.numel() * p.element_size() for p in modules)


def four_bit_saving(model: PreTrainedModel, targets: Sequence[str]) -> float:
    """Bytes that 4-bit weights would free in the adapted layers; 0 if they are in 4 bits now."""
    weights = [model.get_parameter(f"{name}.weight") for name in targets]
    return sum(p.numel() * (p.element_size() - FOUR_BITS) for p in weights if p.is_floating_point())


@dataclass(frozen=True)
class Activations:
    """Bytes a token that a training step keeps: every layer, or with gradient checkpointing."""

    plain: float
    checkpointed: float


def activations(model: PreTrainedModel, targets: Sequence[str]) -> Activations:
    """What a training step with a LoRA on the named layers keeps for each token of a batch."""
    text = model.config.get_text_config()
    width, layers = text.hidden_size, text.num_hidden_layers
    inner = getattr(text, "intermediate_size", None) or 4 * width
    heads = text.num_attention_heads
    size = getattr(text, "head_dim", None) or width // heads
    attention = (2 * heads + 2 * (getattr(text, "num_key_value_heads", None) or heads)) * size
    each = model.dtype.itemsize
    modules: list[Any] = [model.get_submodule(name) for name in targets]
    adapters = 4 * sum(module.in_features for module in modules) / layers
    layer = adapters + 3 * inner * each + width * (8 + 2 * each) + attention * each
    return Activations(layers * layer, layers * width * each + layer)
