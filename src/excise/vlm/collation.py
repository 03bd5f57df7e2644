"""Layouts of different lengths to one batch of model inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from excise.vlm.layout import Layout, Reader
from excise.vlm.masks import NO_BLOCK, PADDING, Tokens
from excise.vlm.pictures import EncodedPicture, join_pictures


def model_inputs(
    reader: Reader,
    layouts: Sequence[Layout],
    pictures: Sequence[EncodedPicture | None],
    *,
    pad_id: int,
    packed: bool,
) -> dict[str, Any]:
    """Pad on the right to the longest and join.

    Args:
        pictures: each layout's own.
        packed: several questions in a sequence: mask and positions are made here. Otherwise the
            model makes them itself from a mask of shape (B, T).

    Returns:
        What `Packer.collate` returns, but for labels and roles.
    """
    batch: dict[str, Any] = {"input_ids": padded([layout.ids for layout in layouts], pad_id)}
    if packed:
        tokens = joined_tokens(layouts)
        batch["attention_mask"] = reader.attention.mask(tokens, tokens)
        positions = [padded([x.positions[d] for x in layouts], 0) for d in range(reader.dimensions)]
        batch["position_ids"] = positions[0] if len(positions) == 1 else torch.stack(positions)
    else:
        batch["attention_mask"] = padded([torch.ones_like(layout.ids) for layout in layouts], 0)
    for name in sorted({name for layout in layouts for name in layout.inputs}):
        batch[name] = _told(name, layouts)
    return batch | join_pictures(pictures) | {"pictures": [*pictures]}


def joined_tokens(layouts: Sequence[Layout]) -> Tokens:
    """(B, T): where the tokens of a batch stand."""
    return Tokens(
        padded([layout.tokens.segments[0] for layout in layouts], PADDING),
        padded([layout.tokens.places[0] for layout in layouts], 0),
        padded([layout.tokens.blocks[0] for layout in layouts], NO_BLOCK),
    )


def padded(values: Sequence[Tensor], fill: int) -> Tensor:
    """(T, ...) tensors of different T to one of (B, longest T, ...)."""
    longest = max(map(len, values))
    first = values[0]
    out = torch.full((len(values), longest, *first.shape[1:]), fill, dtype=first.dtype)
    for place, value in enumerate(values):
        out[place, : len(value)] = value
    return out


def _told(name: str, layouts: Sequence[Layout]) -> Tensor:
    """(B, T, ...): zero where a layout has nothing of the name, and in padding."""
    like = next(layout.inputs[name] for layout in layouts if name in layout.inputs)
    given = [
        layout.inputs.get(name, like.new_zeros(len(layout.ids), *like.shape[1:]))
        for layout in layouts
    ]
    return padded(given, 0)
