"""The feed-forward blocks of the language model: which layers write the neurons, and which reads.

A neuron is one input of the layer that leads back to the hidden size (`down`). The layers that lead
there (`up`: one, a gate and one, or both in one matrix of twice the height) write it with one row
each. Told by shapes, since names differ from family to family.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from excise.records.errors import InputError
from excise.vlm.decoder_blocks import decoder_blocks, mlp_targets
from excise.vlm.parts import Parts


@dataclass(frozen=True)
class FeedForward:
    """Exact module names; `neurons` is how many there are."""

    down: str
    up: tuple[str, ...]
    neurons: int

    def rows(self, model: PreTrainedModel, up: str, chosen: Tensor) -> Tensor:
        """The rows of one of the `up` layers that write the chosen neurons, rising."""
        fused = model.get_parameter(f"{up}.weight").shape[0] == 2 * self.neurons
        return torch.cat([chosen, chosen + self.neurons]) if fused else chosen


def feed_forwards(model: PreTrainedModel, parts: Parts) -> list[FeedForward]:
    """The language model's blocks from the lowest to the highest.

    Raises:
        InputError: there is none whose layers can be told by their shapes.
    """
    groups: dict[str, list[str]] = {}
    for target in mlp_targets(model, parts, decoder_blocks(model, parts)):
        groups.setdefault(target.rpartition(".")[0], []).append(target)
    found = [made for group in groups.values() if (made := _told(model, group)) is not None]
    if not found:
        raise InputError(
            f"{type(model).__name__}: no feed-forward blocks found, expected plain linear layers "
            "to their neurons and back"
        )
    return found


def _told(model: PreTrainedModel, group: list[str]) -> FeedForward | None:
    layers = {name: module for name in group if (module := _linear(model, name)) is not None}
    for down, back in reversed(layers.items()):
        heights = (back.in_features, 2 * back.in_features)
        up = tuple(
            name
            for name, layer in layers.items()
            if name != down
            and layer.in_features == back.out_features
            and layer.out_features in heights
        )
        if up:
            return FeedForward(down, up, back.in_features)
    return None


def _linear(model: PreTrainedModel, name: str) -> nn.Linear | None:
    module = model.get_submodule(name)
    return module if isinstance(module, nn.Linear) else None
