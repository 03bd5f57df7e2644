"""Greedy answers to many questions at once, the same as one by one.

Where prefixes can be shared (`sharing.py`), the questions about a picture stand packed behind it
(`decoding.py`), so that a picture is read once for several questions, each of which then costs its
own tokens. Sequences of like length run together, and answers that are over leave, so one long
caption does not hold up sixty-three short answers. On other models `generate` does the work on
whole prompts of one length, so that it needs no padding. Either way an answer is the likeliest
token each time: penalties and bans of the checkpoint's generation settings do not apply.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from PIL import Image
from transformers import PreTrainedModel

from excise.vlm.chat import Chat
from excise.vlm.collation import joined_tokens, model_inputs
from excise.vlm.decoding import Lanes, decode
from excise.vlm.features import feature_cache
from excise.vlm.layout import Line, Reader, common_prefix, lay_out
from excise.vlm.load import VLM
from excise.vlm.masks import moved
from excise.vlm.pictures import EncodedPicture, Pictures
from excise.vlm.sharing import sharing_obstacle
from excise.vlm.trial import evaluating

ROW_TOKENS = 512
"""Prompts and answers behind one prefix, in tokens, unless the prefix itself is longer: every token
of a sequence costs attention over them all."""

PLAIN = {
    "do_sample": False,
    "num_beams": 1,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "bad_words_ids": None,
    "suppress_tokens": None,
}


@dataclass(frozen=True, eq=False)
class _Prompt:
    number: int
    line: Line
    picture: EncodedPicture | None


@torch.inference_mode()
def answer(
    vlm: VLM,
    questions: Sequence[tuple[Image.Image | None, str]],
    *,
    max_new_tokens: int = 48,
    batch_size: int = 64,
) -> list[str]:
    """Answer each question greedily, about its picture if it has one.

    Args:
        max_new_tokens: where an answer is cut off, in tokens.
        batch_size: questions at a time; memory grows with it.

    Returns:
        One answer a question, in order, without special tokens and outer blanks.

    Raises:
        InputError: control tokens in a question, or a picture that the model cannot take.
    """
    if not questions:
        return []
    speaker = _Speaker(vlm, max_new_tokens)
    with evaluating(vlm.model):
        shared = sharing_obstacle(vlm.model, vlm.processor) is None
        keys, prompts = speaker.prompts(questions)
        said: dict[int, list[int]] = {}
        for with_picture in (False, True):
            group = [p for p in prompts if (p.picture is not None) == with_picture]
            if shared:
                for rows in _batches(_rows(group, max_new_tokens, batch_size), batch_size):
                    said.update(speaker.packed(rows))
            else:
                for batch in _of_one_length(group, batch_size):
                    said.update(speaker.alone(batch))
    return [speaker.chat.decode(said[key]) for key in keys]


class _Speaker:
    """Runs batches of prompts on one model."""

    def __init__(self, vlm: VLM, limit: int) -> None:
        self._model: PreTrainedModel = vlm.model
        self._limit = limit
        self.chat = Chat(vlm.processor, vlm.model)
        self._pictures = Pictures(self.chat, vlm.model)
        self._reader = Reader(vlm.model, self.chat, self._pictures)

    def prompts(
        self, questions: Sequence[tuple[Image.Image | None, str]]
    ) -> tuple[list[int], list[_Prompt]]:
        """The number of each question's prompt, and the different prompts."""
        numbers: dict[tuple[str | None, str], int] = {}
        prompts: list[_Prompt] = []
        asked = []
        for shown, text in questions:
            picture = None if shown is None else self._pictures.encode(shown)
            key = (None if picture is None else picture.key, text)
            if key not in numbers:
                numbers[key] = len(prompts)
                ids = self.chat.prompt(text, picture=picture is not None)
                ids = ids if picture is None else picture.splice.apply(ids)
                prompts.append(_Prompt(len(prompts), self._reader.line(ids, picture), picture))
            asked.append(numbers[key])
        return asked, prompts

    def packed(self, rows: list[list[_Prompt]]) -> dict[int, list[int]]:
        """New ids by prompt number; each row's prompts share one picture, or have none."""
        device = self._model.device
        groups = [[prompt.line for prompt in row] for row in rows]
        layouts = [lay_out(lines, _shared(lines)) for lines in groups]
        batch = model_inputs(
            self._reader,
            layouts,
            [row[0].picture for row in rows],
            pad_id=self.chat.pad_id,
            packed=True,
        )
        with feature_cache(self._model).serving(batch.pop("pictures")):
            new = decode(
                self._model,
                self._reader,
                Lanes.of(groups, device),
                moved(batch, device),
                joined_tokens(layouts).to(device),
                ends=self.chat.end_ids,
                pad_id=self.chat.pad_id,
                limit=self._limit,
            )
        numbers = [prompt.number for row in rows for prompt in row]
        return dict(zip(numbers, new, strict=True))

    def alone(self, prompts: list[_Prompt]) -> dict[int, list[int]]:
        """transformers' own `generate` on whole prompts of one length."""
        batch = model_inputs(
            self._reader,
            [lay_out([prompt.line], 0) for prompt in prompts],
            [prompt.picture for prompt in prompts],
            pad_id=self.chat.pad_id,
            packed=False,
        )
        model: Any = self._model
        with feature_cache(self._model).serving(batch.pop("pictures")):
            out = model.generate(
                **moved(batch, model.device),
                **PLAIN,
                max_new_tokens=self._limit,
                eos_token_id=sorted(self.chat.end_ids),
                pad_token_id=self.chat.pad_id,
            )
        new = {}
        for prompt, row in zip(prompts, out.tolist(), strict=True):
            said = row[len(prompt.line.ids) :]
            ends = [place for place, token in enumerate(said) if token in self.chat.end_ids]
            new[prompt.number] = said[: ends[0]] if ends else said
        return new


def _shared(lines: Sequence[Line]) -> int:
    """Tokens that all have in common; the last of a prompt makes its own first logits."""
    ids = [line.ids for line in lines]
    return min(common_prefix(ids), min(map(len, ids)) - 1)


def _rows(prompts: list[_Prompt], limit: int, most: int) -> list[list[_Prompt]]:
    """Prompts that are to share a sequence, of one picture and like length, at most `most` each."""
    rows: list[list[_Prompt]] = []
    for _, group in groupby(sorted(prompts, key=_order), key=_picture):
        together = [*group]
        shared = _shared([prompt.line for prompt in together])
        room = max(shared, ROW_TOKENS)
        row: list[_Prompt] = []
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


def _batches(rows: list[list[_Prompt]], size: int) -> list[list[list[_Prompt]]]:
    """Rows of like length, at most `size` prompts a batch."""
    batches: list[list[list[_Prompt]]] = []
    room = 0
    for row in sorted(rows, key=_length):
        if len(row) > room:
            batches.append([])
            room = size
        batches[-1].append(row)
        room -= len(row)
    return batches


def _of_one_length(prompts: list[_Prompt], size: int) -> list[list[_Prompt]]:
    ordered = sorted(prompts, key=_order)
    groups = [[*g] for _, g in groupby(sorted(ordered, key=_tokens), key=_tokens)]
    return [g[start : start + size] for g in groups for start in range(0, len(g), size)]


def _order(prompt: _Prompt) -> tuple[str, int, int]:
    return _picture(prompt), _tokens(prompt), prompt.number


def _picture(prompt: _Prompt) -> str:
    return "" if prompt.picture is None else prompt.picture.key


def _tokens(prompt: _Prompt) -> int:
    return len(prompt.line.ids)


def _length(row: list[_Prompt]) -> int:
    lines = [prompt.line for prompt in row]
    shared = _shared(lines)
    return shared + sum(len(line.ids) - shared for line in lines)
