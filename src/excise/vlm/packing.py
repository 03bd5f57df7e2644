"""Packed rows: the tokens that all questions of a row begin with once, then each question's own.

Every question sees the shared prefix and itself only (a block mask), and its positions go on from
the prefix, so loss and gradient are those of separate rows. The prefix is the longest run of tokens
that the questions have in common, ending before the last prompt token of each, which has to
predict that question's own first answer token. On a model that cannot share (see `sharing.py`) a
row becomes one sequence for each question instead, and a batch has more sequences than rows.
Nothing is ever cut off: a question that is longer than the model's positions is an error, since
truncation could go through a picture.
Packed costs a mask of T x T booleans a row; T is the prefix plus all questions. Unpacked costs the
picture's tokens once for every question.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, ProcessorMixin

from excise.records.errors import InputError
from excise.vlm.chat import Chat, Conversation
from excise.vlm.collation import model_inputs, padded
from excise.vlm.layout import Layout, Reader, common_prefix, lay_out
from excise.vlm.pictures import EncodedPicture, Pictures
from excise.vlm.rows import Row, Turn
from excise.vlm.sharing import sharing_obstacle

IGNORED = -100
"""Label of positions without loss, as in transformers."""
NO_ROLE = -1


def role_id(role: str) -> int:
    """The number that stands for a role in a batch's `roles`; the same everywhere."""
    return zlib.crc32(role.encode())


@dataclass(frozen=True, eq=False)
class EncodedRow:
    """One row as tensors: T tokens, of which an unpacked row shares none.

    `segments`, (T,), is 0 in the shared prefix and 1, 2, ... in the questions; `labels`, (T,), is
    -100 off the answers; `roles`, (T,), is `role_id` of the turn where there is a label, else -1.
    """

    layout: Layout
    labels: Tensor
    roles: Tensor
    picture: EncodedPicture | None

    @property
    def input_ids(self) -> Tensor:
        """(T,)"""
        return self.layout.ids

    @property
    def position_ids(self) -> Tensor:
        """(T,), or (D, T) where positions have D dimensions."""
        positions = self.layout.positions
        return positions[0] if len(positions) == 1 else positions

    @property
    def segments(self) -> Tensor:
        """(T,)"""
        return self.layout.tokens.segments[0]


class Packer:
    """Rows to batches, for one model and its processor. Tokens and pictures are cached.

    Attributes:
        obstacle: why rows are not packed, as a phrase; None if they are.
    """

    def __init__(self, processor: ProcessorMixin, model: PreTrainedModel) -> None:
        text = model.config.get_text_config()
        self.obstacle = sharing_obstacle(model, processor)
        self.chat = Chat(processor, model)
        self._pictures = Pictures(self.chat, model)
        self._reader = Reader(model, self.chat, self._pictures)
        self._conversations: dict[tuple[str, str, bool], Conversation] = {}
        self._positions: int | None = getattr(text, "max_position_embeddings", None)

    def encode(self, row: Row) -> EncodedRow:
        """Tokenise and lay out one row.

        Raises:
            InputError: no turns, control tokens in a text, a picture that the model cannot take,
                or a question beyond the model's positions; the record is named.
        """
        if not row.turns:
            raise InputError("a row without questions, expected at least one")
        picture = None
        if row.picture is not None:
            with _naming(row.turns[0]):
                picture = self._pictures.encode(row.picture)
        whole = [self._expanded(turn, picture) for turn in row.turns]
        prefix = 0
        if self.obstacle is None:
            common = common_prefix([ids for ids, _ in whole])
            prefix = min(common, min(start for _, start in whole) - 1)
        labels, roles = [IGNORED] * prefix, [NO_ROLE] * prefix
        for (ids, start), turn in zip(whole, row.turns, strict=True):
            silent = start - prefix
            labels += [IGNORED] * silent + list(ids[start:])
            roles += [NO_ROLE] * silent + [role_id(turn.role)] * (len(ids) - start)
        lines = [self._reader.line(ids, picture, start) for ids, start in whole]
        return EncodedRow(
            lay_out(lines, prefix), torch.tensor(labels), torch.tensor(roles), picture
        )

    def collate(self, rows: Sequence[EncodedRow]) -> dict[str, Any]:
        """Pad to the longest sequence and join.

        Returns:
            `input_ids`, `labels`, `roles` of shape (B, T); `attention_mask` (see `masks.py`) and
            `position_ids`, (B, T) or (D, B, T), where rows are packed, else a mask of shape (B, T);
            what else the model is told about each token, (B, T, ...); and the processor's picture
            tensors, if any row has a picture, in the order of the sequences. `pictures` is no
            tensor, but each sequence's `EncodedPicture` or None.
        """
        sequences = [*rows] if self.obstacle is None else [q for row in rows for q in _alone(row)]
        batch = model_inputs(
            self._reader,
            [sequence.layout for sequence in sequences],
            [sequence.picture for sequence in sequences],
            pad_id=self.chat.pad_id,
            packed=self.obstacle is None,
        )
        batch["labels"] = padded([sequence.labels for sequence in sequences], IGNORED)
        batch["roles"] = padded([sequence.roles for sequence in sequences], NO_ROLE)
        return batch

    def _expanded(self, turn: Turn, picture: EncodedPicture | None) -> tuple[tuple[int, ...], int]:
        key = (turn.question, turn.answer, picture is not None)
        with _naming(turn):
            if key not in self._conversations:
                self._conversations[key] = self.chat.conversation(
                    turn.question, turn.answer, picture=picture is not None
                )
            ids, start = self._conversations[key]
            if picture is not None:
                ids, start = picture.splice.apply(ids), start + picture.splice.growth
                count = sum(token == self.chat.image_id for token in ids)
                if count != picture.image_tokens:
                    raise InputError(
                        f"{count} image tokens, expected the picture's {picture.image_tokens}"
                    )
            if self._positions is not None and len(ids) > self._positions:
                raise InputError(
                    f"{len(ids)} tokens, expected at most the model's {self._positions}"
                )
        return ids, start


def _alone(row: EncodedRow) -> list[EncodedRow]:
    """The questions of a row that shares nothing, a sequence each."""
    numbers = range(1, int(row.segments.max()) + 1)
    each = [row.segments == number for number in numbers]
    return [
        EncodedRow(row.layout.at(own), row.labels[own], row.roles[own], row.picture) for own in each
    ]


class _naming:
    """Adds the record's id to an `InputError`; its text is never quoted."""

    def __init__(self, turn: Turn) -> None:
        self._record = turn.record

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, InputError) and self._record is not None:
            raise InputError(f'record "{self._record}": {error}') from None
