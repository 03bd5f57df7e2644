"""Rows: what a model is fed, one picture (or none) and the questions about it.

Several questions in a row share the picture's tokens (see `packing.py`), which is most of the work
of a step: eight questions on a picture of 64 tokens cost about a third of eight rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from PIL import Image

from excise.records.data import Data
from excise.records.record import Record


@dataclass(frozen=True)
class Turn:
    """A question and the answer to train on."""

    question: str
    answer: str
    role: str = "keep"
    """Which term of a loss it belongs to: "forget", "keep" or a method's own word."""
    record: str | None = None
    """Id of the record it came from, for error messages."""


@dataclass(frozen=True)
class Row:
    """A picture (RGB) or None, and questions that do not see each other."""

    picture: Image.Image | None = field(repr=False)
    turns: tuple[Turn, ...]


def rows_from_records(
    data: Data,
    records: Sequence[Record],
    *,
    answer: Callable[[Record], str] | None = None,
    role: str | Callable[[Record], str] = "keep",
    per_row: int = 8,
) -> list[Row]:
    """Rows of at most `per_row` questions each: one picture a row, text-only ones together.

    Rows follow the first appearance of their picture, turns the order of `records`.

    Args:
        answer: what to train on in place of `record.answer`, for example a refusal.
        role: the turns' role, or how to choose it for a record.

    Raises:
        InputError: a picture cannot be read.
    """
    groups: dict[str | None, list[Record]] = {}
    for record in records:
        groups.setdefault(record.image, []).append(record)
    rows = []
    for group in groups.values():
        picture = data.picture(group[0])
        turns = [
            Turn(
                question=record.question,
                answer=record.answer if answer is None else answer(record),
                role=role if isinstance(role, str) else role(record),
                record=record.id,
            )
            for record in group
        ]
        rows += [
            Row(picture, tuple(turns[start : start + per_row]))
            for start in range(0, len(turns), per_row)
        ]
    return rows
