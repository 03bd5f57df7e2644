"""Decoding of many prompts that stand packed behind what they share.

A sequence holds one picture and several prompts about it, as in training: keys and values of the
picture are computed and kept once, and each step takes one token of every prompt of a sequence. A
prompt that is over leaves its sequence, a sequence without prompts leaves the batch. Layers with a
window keep all keys too; the mask tells how far they look.
Memory: the keys and values of every sequence's picture, prompts and answers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from excise.vlm.choice import Choice
from excise.vlm.layout import Line, Reader
from excise.vlm.masks import NO_BLOCK, PADDING, Tokens


@dataclass(frozen=True, eq=False)
class Lanes:
    """N prompts that are not over, in the order of their sequences."""

    numbers: list[int]
    """Which prompt each is, in the order of the caller."""
    row: Tensor
    """(N,): in which sequence of the batch."""
    segment: Tensor
    """(N,)"""
    place: Tensor
    """(N,): of its last token; see `masks.Tokens`."""
    position: Tensor
    """(D, N): of its last token."""
    inputs: dict[str, Tensor]
    """(N, ...): what the model is told about each further token."""

    @classmethod
    def of(cls, groups: Sequence[Sequence[Line]], device: torch.device) -> Lanes:
        """The prompts of each sequence, as `lay_out` numbers them."""
        lines = [line for group in groups for line in group]
        names = {name for line in lines for name in line.inputs}
        return cls(
            numbers=[*range(len(lines))],
            row=torch.tensor([r for r, group in enumerate(groups) for _ in group], device=device),
            segment=torch.tensor(
                [s for group in groups for s, _ in enumerate(group, 1)], device=device
            ),
            place=torch.tensor([len(line.ids) - 1 for line in lines], device=device),
            position=torch.stack([line.positions[:, -1] for line in lines], dim=1).to(device),
            inputs={
                name: torch.stack([line.inputs[name][-1] for line in lines]).to(device)
                for name in names
            },
        )

    def at(self, chosen: Tensor) -> Lanes:
        """Those where `chosen`, (N,), is true."""
        kept = chosen.tolist()
        return Lanes(
            [number for number, keep in zip(self.numbers, kept, strict=True) if keep],
            self.row[chosen],
            self.segment[chosen],
            self.place[chosen],
            self.position[:, chosen],
            {name: told[chosen] for name, told in self.inputs.items()},
        )

    def on(self, token: int) -> Lanes:
        """Each so many tokens on."""
        return Lanes(
            self.numbers,
            self.row,
            self.segment,
            self.place + token,
            self.position + token,
            self.inputs,
        )


def decode(
    model: PreTrainedModel,
    reader: Reader,
    lanes: Lanes,
    prefill: dict[str, Any],
    keys: Tokens,
    *,
    choose: Choice,
    ends: Collection[int],
    pad_id: int,
    limit: int,
) -> list[list[int]]:
    """New ids of each prompt, without the token that ended it.

    Args:
        prefill: `collation.model_inputs` of the sequences, packed, on the model's device.
        keys: `collation.joined_tokens` of the sequences, on the device.
        choose: takes the next token of each prompt; they are numbered in the order of `lanes`.
        ends: token ids after which an answer is over.
        limit: of new tokens a prompt.
    """
    new: list[list[int]] = [[] for _ in lanes.numbers]
    run: Any = model
    cache = DynamicCache()  # without the configuration, so that no layer drops keys
    rows = len(keys.places)
    here = keys.of_rows(lanes.row)
    ended = (here.segments == lanes.segment[:, None]) & (here.places == lanes.place[:, None])
    lane, column = ended.nonzero(as_tuple=True)
    last = torch.zeros_like(keys.places, dtype=torch.bool)
    last[lanes.row[lane], column] = True
    out = run(**prefill, past_key_values=cache, use_cache=True, logits_to_keep=last)
    for step in range(limit):
        chosen = choose(out.logits, lanes.numbers, step)
        said = chosen.tolist()
        going = torch.tensor([token not in ends for token in said], device=chosen.device)
        for number, token in zip(lanes.numbers, said, strict=True):
            if token not in ends:
                new[number].append(token)
        if not bool(going.any()) or step == limit - 1:
            break
        lanes, chosen = lanes.at(going).on(1), chosen[going]
        kept, row, count = torch.unique_consecutive(
            lanes.row, return_inverse=True, return_counts=True
        )
        if len(kept) < rows:
            cache.batch_select_indices(kept)
            keys, rows = keys.of_rows(kept), len(kept)
            lanes = Lanes(**{**vars(lanes), "row": row})
        slot = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
        grid = _Grid(row, slot, (rows, int(count.max())))
        queries = Tokens(
            grid.fill(lanes.segment, PADDING),
            grid.fill(lanes.place, 0),
            grid.fill(torch.full_like(lanes.place, NO_BLOCK), NO_BLOCK),
        )
        keys = keys.followed_by(queries)
        position = torch.stack([grid.fill(axis, 0) for axis in lanes.position])
        out = run(
            input_ids=grid.fill(chosen, pad_id),
            attention_mask=reader.attention.mask(queries, keys),
            position_ids=position[0] if len(position) == 1 else position,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=queries.segments != PADDING,
            **{name: grid.fill(told, 0) for name, told in lanes.inputs.items()},
        )
    return new


@dataclass(frozen=True, eq=False)
class _Grid:
    """Where each lane's token goes in a batch of (sequences, most lanes of one)."""

    row: Tensor
    slot: Tensor
    shape: tuple[int, int]

    def fill(self, values: Tensor, empty: int) -> Tensor:
        """(N, ...) -> (*shape, ...)"""
        out = values.new_full((*self.shape, *values.shape[1:]), empty)
        out[self.row, self.slot] = values
        return out
