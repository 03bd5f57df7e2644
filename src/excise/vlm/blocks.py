"""Which tokens of a conversation see each other both ways, read off the model's own masks.

transformers lets a model with such tokens say so by making the masks for `generate` itself. The
beginning of a conversation with a picture is put to it once a picture; runs of tokens that see
ahead are the blocks. A model that has no say of its own looks back only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from excise.vlm.masks import NO_BLOCK, Attention, Tokens


class Blocks(NamedTuple):
    """What the model's masks say about a beginning of T tokens."""

    numbers: Tensor
    """(T,): the block of each token, else `NO_BLOCK`."""
    kinds: frozenset[str]
    """Kinds of layers in which the tokens of a block see each other."""
    open_end: bool
    """The last two tokens see each other, so whatever follows the picture is in the block too."""


def find_blocks(
    model: PreTrainedModel, attention: Attention, inputs: Mapping[str, Tensor], length: int
) -> Blocks:
    """Ask the model for its masks and find the blocks in them.

    Args:
        inputs: the processor's values for each token, (T, ...).
        length: T; the last two tokens must be text.
    """
    masks = _asked(model, attention, inputs, length)
    numbers = torch.full((length,), NO_BLOCK)
    if not masks:
        return Blocks(numbers, frozenset(), False)
    ahead = torch.stack([mask.diagonal(1) for mask in masks.values()]).any(0)
    starts = ahead & ~torch.cat([torch.tensor([False]), ahead[:-1]])
    order = starts.cumsum(0) - 1
    numbers[:-1][ahead] = order[ahead]
    numbers[1:][ahead] = order[ahead]
    kinds = frozenset(kind for kind, mask in masks.items() if bool(mask.triu(1).any()))
    return Blocks(numbers, kinds, bool(ahead[-1]))


def follows_the_rule(
    model: PreTrainedModel, attention: Attention, inputs: Mapping[str, Tensor], blocks: Blocks
) -> bool:
    """Whether the model's masks are those that `Attention` makes of these blocks."""
    length = len(blocks.numbers)
    asked = _asked(model, attention, inputs, length)
    places = torch.arange(length)[None]
    tokens = Tokens(torch.ones_like(places), places, blocks.numbers[None])
    return all(
        torch.equal(attention.seen(kind, tokens, tokens)[0, 0], mask)
        for kind, mask in asked.items()
    )


def _asked(
    model: PreTrainedModel, attention: Attention, inputs: Mapping[str, Tensor], length: int
) -> dict[str, Tensor]:
    """(T, T) booleans by kind of layer; empty for a model that has no say of its own."""
    make: Any = getattr(model, "create_masks_for_generate", None)
    if make is None:
        return {}
    device = model.device
    made = make(
        config=model.config,
        inputs_embeds=torch.empty((1, length, 0), dtype=model.dtype, device=device),
        attention_mask=None,
        past_key_values=None,
        position_ids=torch.arange(length, device=device)[None],
        is_first_iteration=True,
        **{name: value[None].to(device) for name, value in inputs.items()},
    )
    if not isinstance(made, dict):
        made = dict.fromkeys(attention.reaches, made)
    causal = torch.ones(length, length, dtype=torch.bool).tril()  # what no mask means
    found = {kind: causal if made[kind] is None else made[kind] for kind in attention.reaches}
    return {kind: _seen(mask) for kind, mask in found.items()}


def _seen(mask: Tensor) -> Tensor:
    """(..., T, T), boolean or additive -> (T, T), boolean."""
    plain = mask.reshape(-1, *mask.shape[-2:])[0].cpu()
    return plain if plain.dtype == torch.bool else plain == 0
