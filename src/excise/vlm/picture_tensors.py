"""A picture as a model's inputs and tokens, and the inputs of several pictures joined.

A processor puts a picture's tokens in the place of the template's placeholder. Where it does so is
found once, by comparing a prompt before and after (`splice_of`); other prompts with the picture are
then expanded on their token ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from excise.records.errors import InputError

CROSS_ATTENTION = "cross_attention_mask"
"""The input by which a model is told apart that looks at pictures from the side."""


@dataclass(frozen=True)
class Splice:
    """`head + raw + tail` becomes `head + expanded + tail`; head and tail of raw prompts stay."""

    head: tuple[int, ...]
    raw: tuple[int, ...]
    expanded: tuple[int, ...]

    @property
    def length(self) -> int:
        """Tokens through the end of the picture."""
        return len(self.head) + len(self.expanded)

    @property
    def growth(self) -> int:
        return len(self.expanded) - len(self.raw)

    def apply(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        """Raises InputError if `ids` does not begin as every prompt with a picture does."""
        before = self.head + self.raw
        if ids[: len(before)] != before:
            raise InputError("chat template: the picture is not at the same place in every prompt")
        return self.head + self.expanded + ids[len(before) :]


def splice_of(raw: tuple[int, ...], expanded: tuple[int, ...], image_id: int | None) -> Splice:
    """The one change that makes `expanded` of `raw`, ids of the same prompt."""
    if raw == expanded and image_id in raw:  # cross attention: the placeholder is all there is
        end = len(raw) - raw[::-1].index(image_id)
        return Splice(raw[:end], (), ())
    shorter = min(len(raw), len(expanded))
    head = 0
    while head < shorter and raw[head] == expanded[head]:
        head += 1
    tail = 0
    while tail < shorter - head and raw[-1 - tail] == expanded[-1 - tail]:
        tail += 1
    return Splice(raw[:head], raw[head : len(raw) - tail], expanded[head : len(expanded) - tail])


@dataclass(frozen=True, eq=False)
class EncodedPicture:
    """A processed picture.

    `tensors` are the model's inputs, each with a first axis to join on. `token_values` are its
    inputs of one value a token, as the processor gave them for the prompt through the end of the
    picture and one token more, whose value is that of all text behind: (splice.length + 1, ...).
    `image_tokens` counts the placeholders that features are put in the place of.
    """

    key: str
    splice: Splice
    tensors: dict[str, Tensor]
    image_tokens: int
    token_values: dict[str, Tensor] = field(default_factory=dict)


def join_pictures(pictures: Sequence[EncodedPicture | None]) -> dict[str, Tensor]:
    """The picture tensors of a batch, in the order of its sequences; empty without pictures.

    Tensors of different shapes (tiles, sizes) are filled up with zeros behind their ends, as the
    processors do for a batch, then joined on the first axis. Sequences without a picture (None)
    have no part in it, except under cross attention, where each needs an entry: one of zeros.
    """
    given = [picture for picture in pictures if picture is not None]
    if not given:
        return {}
    first = given[0]
    entries = pictures if CROSS_ATTENTION in first.token_values else given
    joined: dict[str, Tensor] = {}
    for name, tensor in first.tensors.items():
        parts = [torch.zeros_like(tensor) if p is None else p.tensors[name] for p in entries]
        largest = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
        joined[name] = torch.cat([_filled(part, largest) for part in parts])
    return joined


def _filled(tensor: Tensor, shape: list[int]) -> Tensor:
    """(N, ...) -> (N, *shape), zeros behind what there is."""
    if list(tensor.shape[1:]) == shape:
        return tensor
    out = tensor.new_zeros(tensor.shape[0], *shape)
    out[tuple(slice(size) for size in tensor.shape)] = tensor
    return out
