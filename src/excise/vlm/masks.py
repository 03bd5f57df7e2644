"""Attention masks of rows in which several questions stand behind one shared prefix.

A token sees the prefix and its own question, as far as the layer lets it look: everything before
it, a window of so many places, or a chunk. Distances are counted in places, which is where the
token would stand if its question stood alone, so that a packed row sees what separate rows see.
Tokens of one block (a picture's, in some models) see each other both ways.
How far each kind of layer looks comes from the model's configuration; whether there are blocks is
read off the masks that the model itself makes (`blocks.py`). A mask costs one boolean for each
pair of query and key, times two kinds of layers where a model has both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel

MASKABLE = ("sdpa", "eager")
"""Attention implementations that take a mask of any form."""

PADDING = -1
"""Segment of padding tokens. They see each other: a row of a mask that is empty makes NaN."""
NO_BLOCK = -1

Mask = Tensor | dict[str, Tensor]


@dataclass(frozen=True)
class Reach:
    """How far back a kind of layer looks: everything, or a number of places."""

    shape: Literal["all", "window", "chunk"] = "all"
    size: int = 0

    def allows(self, query: Tensor, key: Tensor) -> Tensor | None:
        """Whether `key` places are in reach of `query` places, broadcast; None for all of them."""
        if self.shape == "window":
            return key > query - self.size
        if self.shape == "chunk":
            return key // self.size == query // self.size
        return None


@dataclass(frozen=True, eq=False)
class Tokens:
    """Where the tokens of a batch stand, each of shape (B, T)."""

    segments: Tensor
    """0 in the shared prefix, 1, 2, ... in the questions, `PADDING` elsewhere."""
    places: Tensor
    """0, 1, ... as if the token's question stood alone."""
    blocks: Tensor
    """A number for each run of tokens that see each other both ways, else `NO_BLOCK`."""

    def followed_by(self, other: Tokens) -> Tokens:
        return Tokens(
            *(
                torch.cat([getattr(self, field.name), getattr(other, field.name)], dim=1)
                for field in fields(self)
            )
        )

    def of_rows(self, rows: Tensor) -> Tokens:
        return Tokens(self.segments[rows], self.places[rows], self.blocks[rows])

    def to(self, device: torch.device) -> Tokens:
        return Tokens(self.segments.to(device), self.places.to(device), self.blocks.to(device))


class Attention:
    """What the layers of one model see.

    Attributes:
        reaches: each kind of layer, by the name under which transformers takes its mask.
        both_ways: the kinds in which tokens of a block see each other; filled in by `blocks.py`.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        text = model.config.get_text_config()
        self.reaches = reaches(text)
        self.both_ways: frozenset[str] = frozenset()
        self._additive = model.dtype if text._attn_implementation == "eager" else None

    def mask(self, queries: Tokens, keys: Tokens) -> Mask:
        """Masks for a forward pass of `queries`, (B, Q), on `keys`, (B, K), themselves included.

        Returns:
            (B, 1, Q, K), boolean for sdpa and additive for eager attention; a dictionary of them
            by kind of layer where the layers are of several kinds.
        """
        masks = {kind: self._form(self.seen(kind, queries, keys)) for kind in self.reaches}
        return next(iter(masks.values())) if len(masks) == 1 else masks

    def seen(self, kind: str, queries: Tokens, keys: Tokens) -> Tensor:
        segment, other = queries.segments[:, :, None], keys.segments[:, None, :]
        place, before = queries.places[:, :, None], keys.places[:, None, :]
        seen = before <= place
        if kind in self.both_ways:
            block = queries.blocks[:, :, None]
            seen = seen | ((block == keys.blocks[:, None, :]) & (block != NO_BLOCK))
        within = self.reaches[kind].allows(place, before)
        if within is not None:
            seen = seen & within
        own = (other == segment) | ((other == 0) & (segment != PADDING))
        return (seen & own)[:, None]

    def _form(self, seen: Tensor) -> Tensor:
        if self._additive is None:
            return seen
        lowest = torch.finfo(self._additive).min
        return torch.zeros(seen.shape, dtype=self._additive, device=seen.device).masked_fill(
            ~seen, lowest
        )


def reaches(text: Any) -> dict[str, Reach]:
    """Each kind of layer of a text configuration and how far it looks; empty if one is unknown."""
    window = getattr(text, "sliding_window", None)
    chunk = getattr(text, "attention_chunk_size", None)
    known = {"full_attention": Reach()}
    if window is not None:
        known["sliding_attention"] = Reach("window", window)
    if chunk is not None:
        known["chunked_attention"] = Reach("chunk", chunk)
    kinds = getattr(text, "layer_types", None)
    if kinds is None:  # all layers are alike, of the narrowest kind that the configuration has
        last = [*known][-1]
        return {last: known[last]}
    if any(kind not in known for kind in kinds):
        return {}
    return {kind: known[kind] for kind in dict.fromkeys(kinds)}


def moved(batch: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """The tensors of a batch, masks by kind among them, on a device."""
    return {
        name: moved(value, device) if isinstance(value, Mapping) else value.to(device)
        for name, value in batch.items()
    }
