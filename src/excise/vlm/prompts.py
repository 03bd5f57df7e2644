"""Prompts, and which of them run together.

Prompts of one group (questions about a picture, or the samples of one question) share a sequence;
sequences of like length share a batch, so that one long prompt does not widen sixty-three short
ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from excise.vlm.layout import Line, common_prefix
from excise.vlm.pictures import EncodedPicture

ROW_TOKENS = 512
"""Prompts and answers behind one prefix, in tokens, unless the prefix itself is longer: every token
of a sequence costs attention over them all."""


@dataclass(frozen=True, eq=False)
class Prompt:
    """What is put to the model, through the tokens that the answer is made to begin with."""

    number: int
    line: Line
    picture: EncodedPicture | None
    start: tuple[int, ...]
    """The last tokens of the line: those of the answer's beginning."""
    group: str
    """Prompts that may share a sequence have the same; all of them have the same picture."""


def shared_tokens(lines: Sequence[Line]) -> int:
    """Tokens that all have in common; the last of a prompt makes its own first logits."""
    ids = [line.ids for line in lines]
    return min(common_prefix(ids), min(map(len, ids)) - 1)


def in_sequences(prompts: Sequence[Prompt], limit: int, most: int) -> list[list[Prompt]]:
    """Prompts that are to share a sequence, of like length, at most `most` each."""
    rows: list[list[Prompt]] = []
    for _, group in groupby(sorted(prompts, key=_order), key=_group):
        together = [*group]
        shared = shared_tokens([prompt.line for prompt in together])
        room = max(shared, ROW_TOKENS)
        row: list[Prompt] = []
        taken = 0
        for prompt in together:
            own = len(prompt.line.ids) - shared + limit // 2
            if row and (taken + own > room or len(row) == most):
                rows.append(row)
                row, taken = [], 0
            row.append(prompt)
            taken += own
        rows.append(row)
    return rows


def in_batches(rows: Sequence[list[Prompt]], size: int) -> list[list[list[Prompt]]]:
    """Sequences of like length, at most `size` prompts a batch."""
    batches: list[list[list[Prompt]]] = []
    room = 0
    for row in sorted(rows, key=_length):
        if len(row) > room:
            batches.append([])
            room = size
        batches[-1].append(row)
        room -= len(row)
    return batches


def of_one_length(prompts: Sequence[Prompt], size: int) -> list[list[Prompt]]:
    """Prompts of equal length, at most `size` together, for models that share nothing."""
    ordered = sorted(prompts, key=_order)
    groups = [[*g] for _, g in groupby(sorted(ordered, key=_tokens), key=_tokens)]
    return [g[start : start + size] for g in groups for start in range(0, len(g), size)]


def _order(prompt: Prompt) -> tuple[str, int, int]:
    return prompt.group, _tokens(prompt), prompt.number


def _group(prompt: Prompt) -> str:
    return prompt.group


def _tokens(prompt: Prompt) -> int:
    return len(prompt.line.ids)


def _length(row: list[Prompt]) -> int:
    lines = [prompt.line for prompt in row]
    shared = shared_tokens(lines)
    return shared + sum(len(line.ids) - shared for line in lines)
