"""Packed rows: the tokens that all questions of a row begin with once, then each question's own.

Every question sees the shared prefix and itself only (a block mask), and its positions go on from
the prefix, so loss and gradient are those of separate rows. The prefix is the longest run of tokens
that the questions have in common, ending before the last prompt token of each, which has to
predict that question's own first answer token. Nothing is ever cut off: a question that is longer
than the model's positions is an error, since truncation could go through a picture.
Costs a mask of T x T booleans a row; T is the prefix plus all questions.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel, ProcessorMixin

from excise.records.errors import InputError
from excise.vlm.chat import Chat, Conversation
from excise.vlm.pictures import EncodedPicture, Pictures
from excise.vlm.rows import Row, Turn
from excise.vlm.sharing import common_prefix, sharing_obstacle

IGNORED = -100
"""Label of positions without loss, as in transformers."""
NO_ROLE = -1


def role_id(role: str) -> int:
    """The number that stands for a role in a batch's `roles`; the same everywhere."""
    return zlib.crc32(role.encode())


@dataclass(frozen=True, eq=False)
class EncodedRow:
    """One row as tensors of shape (T,).

    `segments` is 0 in the shared prefix and 1, 2, ... in the questions; `labels` is -100 off the
    answers; `roles` is `role_id` of the turn where there is a label, else -1.
    """

    input_ids: Tensor
    position_ids: Tensor
    segments: Tensor
    labels: Tensor
    roles: Tensor
    picture: EncodedPicture | None


class Packer:
    """Rows to batches, for one model and its processor. Tokens and pictures are cached.

    Raises:
        InputError: prefixes cannot be shared on this model (the reason is named).
    """

    def __init__(self, processor: ProcessorMixin, model: PreTrainedModel) -> None:
        obstacle = sharing_obstacle(model)
        if obstacle is not None:
            raise InputError(f"{type(model).__name__}: rows cannot be packed, {obstacle}")
        text = model.config.get_text_config()
        self.chat = Chat(processor, model)
        self._pictures = Pictures(self.chat, model)
        self._conversations: dict[tuple[str, str, bool], Conversation] = {}
        self._positions: int | None = getattr(text, "max_position_embeddings", None)
        eager = text._attn_implementation == "eager"
        self._additive: torch.dtype | None = model.dtype if eager else None

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
        prefix = min(common_prefix([ids for ids, _ in whole]), min(start for _, start in whole) - 1)
        ids = list(whole[0][0][:prefix])
        positions = list(range(prefix))
        segments, labels, roles = [0] * prefix, [IGNORED] * prefix, [NO_ROLE] * prefix
        for number, ((tokens, start), turn) in enumerate(zip(whole, row.turns, strict=True), 1):
            own, answered = tokens[prefix:], tokens[start:]
            silent = start - prefix
            ids += own
            positions += range(prefix, len(tokens))
            segments += [number] * len(own)
            labels += [IGNORED] * silent + list(answered)
            roles += [NO_ROLE] * silent + [role_id(turn.role)] * len(answered)
        return EncodedRow(
            input_ids=torch.tensor(ids),
            position_ids=torch.tensor(positions),
            segments=torch.tensor(segments),
            labels=torch.tensor(labels),
            roles=torch.tensor(roles),
            picture=picture,
        )

    def collate(self, rows: Sequence[EncodedRow]) -> dict[str, Tensor]:
        """Pad to the longest row and join.

        Returns:
            `input_ids`, `position_ids`, `labels`, `roles` of shape (B, T); `attention_mask` of
            shape (B, 1, T, T), boolean for sdpa and additive for eager attention; and the
            processor's picture tensors, if any row has a picture, in the order of the rows.
        """
        longest = max(len(row.input_ids) for row in rows)

        def padded(values: list[Tensor], fill: int) -> Tensor:
            out = torch.full((len(values), longest), fill)
            for place, value in enumerate(values):
                out[place, : len(value)] = value
            return out

        batch = {
            "input_ids": padded([row.input_ids for row in rows], self.chat.pad_id),
            "position_ids": padded([row.position_ids for row in rows], 0),
            "labels": padded([row.labels for row in rows], IGNORED),
            "roles": padded([row.roles for row in rows], NO_ROLE),
            "attention_mask": self._mask(padded([row.segments for row in rows], -1)),
        }
        return batch | join_pictures([row.picture for row in rows if row.picture is not None])

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

    def _mask(self, segments: Tensor) -> Tensor:
        """(B, T) -> (B, 1, T, T): earlier tokens of the prefix or of one's own segment.

        Padding is a segment too, so that no row of the mask is empty, which would make NaN.
        """
        length = segments.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        query, key = segments[:, :, None], segments[:, None, :]
        seen = (((key == 0) & (query >= 0)) | (key == query)) & causal
        seen = seen[:, None]
        if self._additive is None:
            return seen
        lowest = torch.finfo(self._additive).min
        return torch.zeros(seen.shape, dtype=self._additive).masked_fill(~seen, lowest)


def join_pictures(pictures: Sequence[EncodedPicture]) -> dict[str, Tensor]:
    """The picture tensors of several rows, one after another; empty for no pictures."""
    if not pictures:
        return {}
    names = pictures[0].tensors
    return {name: torch.cat([p.tensors[name] for p in pictures]) for name in names}


class _naming:
    """Adds the record's id to an `InputError`; its text is never quoted."""

    def __init__(self, turn: Turn) -> None:
        self._record = turn.record

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, InputError) and self._record is not None:
            raise InputError(f'record "{self._record}": {error}') from None
