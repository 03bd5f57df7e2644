"""A model as if its language model were quantised, for the time of a block.

An erasure that moved every weight by less than half a step of the quantiser rounds away, and the
memory is back (Zhang et al., arXiv 2410.16454). The rounding is simulated: the weights of the
language model's linear layers hold what quantised ones would give, at their usual type, so any
machine can try it. The head, the embeddings and whatever sees pictures stay, as they do under
`--quantize 4bit`; so do experts that are no `nn.Linear` of their own.

Rounding cannot be taken back, so the originals wait on the CPU: once the size of those weights (13
GiB for a 7B model in bfloat16) as long as the block lasts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import Tensor

from excise.vlm.parts import linear_targets
from excise.vlm.placement import quantised as packed
from excise.weights import inplace
from excise.weights.quantise import GROUP, Scheme, quantise

if TYPE_CHECKING:
    from excise.vlm.load import VLM


def quantising_obstacle(vlm: VLM) -> str | None:
    """What stands against quantising this model, as a phrase; None if nothing does."""
    weights = _weights(vlm).values()
    if packed(vlm.model) or any(_packed(weight) for weight in weights):
        return "the model is quantised already"
    if any(weight.is_meta for weight in weights):
        return "weights of the model are not in memory (offloaded)"
    return None


@contextmanager
def quantised(vlm: VLM, scheme: Scheme, group: int = GROUP) -> Iterator[float]:
    """The model with quantised weights inside the block, and bit for bit as it was after it.

    `vlm.applied` stays: a run that is on the weights is quantised with them.

    Yields:
        The share of those weights that rounding changed.

    Raises:
        InputError: the model is quantised already, its weights are not in memory, or two of its
            layers share one.
    """
    shapes = {name: (weight.shape[0], weight.shape[1]) for name, weight in _weights(vlm).items()}
    weights = inplace.targets(vlm.model, shapes)
    originals: dict[str, Tensor] = {}
    changed = 0
    try:
        for name, weight in weights.items():
            originals[name] = weight.to("cpu", copy=True)
            rounded = quantise(weight, scheme, group)
            changed += int((rounded != weight).sum())
            weight.copy_(rounded)
        yield changed / sum(weight.numel() for weight in weights.values())
    finally:
        inplace.restore(vlm.model, originals)


def _weights(vlm: VLM) -> dict[str, Tensor]:
    names = linear_targets(vlm.model, vlm.parts)
    return {name: vlm.model.get_parameter(f"{name}.weight") for name in names}


def _packed(weight: Tensor) -> bool:
    return not weight.is_floating_point() or weight.element_size() < 2
