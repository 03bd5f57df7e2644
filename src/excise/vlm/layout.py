"""Whole conversations as a model reads them alone, and several of them behind what they share.

A `Line` is one conversation or prompt with everything that the model is told about each token. Laid
out together, lines keep their positions, so that nothing but the mask tells that they stand in one
sequence. What a processor says about the tokens of a picture is asked once a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import PreTrainedModel

from excise.vlm.blank_pictures import silence_blank_pictures
from excise.vlm.blocks import Blocks, find_blocks
from excise.vlm.chat import Chat
from excise.vlm.masks import NO_BLOCK, Attention, Tokens
from excise.vlm.pictures import EncodedPicture, Pictures
from excise.vlm.positions import Positions


@dataclass(frozen=True, eq=False)
class Line:
    """One conversation or prompt of T tokens."""

    ids: tuple[int, ...]
    positions: Tensor
    """(D, T)"""
    blocks: Tensor
    """(T,): see `masks.Tokens`."""
    inputs: dict[str, Tensor]
    """(T, ...): what else the model is told about each token, by the name of its argument."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Lines behind their first `shared` tokens: T is `shared` and what each line has after it."""

    ids: Tensor
    """(T,)"""
    positions: Tensor
    """(D, T)"""
    tokens: Tokens
    """Each of shape (1, T)."""
    inputs: dict[str, Tensor]
    """(T, ...)"""

    def at(self, chosen: Tensor) -> Layout:
        """The tokens where `chosen`, (T,), is true."""
        tokens = self.tokens
        return Layout(
            self.ids[chosen],
            self.positions[:, chosen],
            Tokens(tokens.segments[:, chosen], tokens.places[:, chosen], tokens.blocks[:, chosen]),
            {name: told[chosen] for name, told in self.inputs.items()},
        )


class Beginning(NamedTuple):
    """What is known of the tokens through the end of a picture."""

    positions: Tensor
    """(D, n + 1): theirs and the next one's."""
    blocks: Blocks
    """Of n + 2 tokens."""


class Reader:
    """Makes lines for one model.

    Attributes:
        attention: the model's masks.
        dimensions: of positions.
    """

    def __init__(self, model: PreTrainedModel, chat: Chat, pictures: Pictures) -> None:
        silence_blank_pictures(model)
        self.attention = Attention(model)
        self._model = model
        self._pictures = pictures
        self._positions = Positions(model, chat.image_id)
        self.dimensions = self._positions.dimensions
        self._known: WeakKeyDictionary[EncodedPicture, Beginning] = WeakKeyDictionary()

    def line(
        self, ids: tuple[int, ...], picture: EncodedPicture | None, answer: int | None = None
    ) -> Line:
        """Lay out expanded ids; `answer` is where the answer begins, if there is one."""
        length = len(ids)
        inputs = self._pictures.token_inputs(picture, length, length if answer is None else answer)
        if picture is None:
            blocks = torch.full((length,), NO_BLOCK)
            return Line(ids, self._positions.text(length), blocks, inputs)
        known = self.beginning(ids, picture)
        seen = picture.splice.length
        rest = length - seen
        after = self._positions.text(rest - 1, known.positions[:, seen])
        return Line(
            ids,
            torch.cat([known.positions, after], dim=1),
            torch.cat([known.blocks.numbers[:seen], torch.full((rest,), NO_BLOCK)]),
            inputs,
        )

    def beginning(self, ids: tuple[int, ...], picture: EncodedPicture) -> Beginning:
        """What is known of a picture's tokens, asked of the model if the picture is new."""
        if picture not in self._known:
            seen = picture.splice.length
            inputs = self._pictures.token_inputs(picture, seen + 2, seen + 2)
            blocks = find_blocks(self._model, self.attention, inputs, seen + 2)
            self.attention.both_ways |= blocks.kinds
            first = {name: value[: seen + 1] for name, value in inputs.items()}
            positions = self._positions.of(ids[: seen + 1], picture.tensors | first)
            self._known[picture] = Beginning(positions, blocks)
        return self._known[picture]


def common_prefix(sequences: Sequence[tuple[int, ...]]) -> int:
    """Length of the longest common prefix."""
    first, last = min(sequences), max(sequences)
    # The smallest and the largest in order differ wherever any two of them do.
    shorter = min(len(first), len(last))
    return next((i for i in range(shorter) if first[i] != last[i]), shorter)


def lay_out(lines: Sequence[Line], shared: int) -> Layout:
    """Lines of one picture, or of none, behind their first `shared` tokens."""
    first = lines[0]
    segments = [0] * shared
    places = [*range(shared)]
    ids = [*first.ids[:shared]]
    for number, line in enumerate(lines, 1):
        own = len(line.ids) - shared
        ids += line.ids[shared:]
        segments += [number] * own
        places += range(shared, len(line.ids))
    return Layout(
        ids=torch.tensor(ids),
        positions=torch.cat(
            [first.positions[:, :shared], *(line.positions[:, shared:] for line in lines)], dim=1
        ),
        tokens=Tokens(
            torch.tensor(segments)[None],
            torch.tensor(places)[None],
            torch.cat([first.blocks[:shared], *(line.blocks[shared:] for line in lines)])[None],
        ),
        inputs={
            name: torch.cat([told[:shared], *(line.inputs[name][shared:] for line in lines)])
            for name, told in first.inputs.items()
        },
    )
