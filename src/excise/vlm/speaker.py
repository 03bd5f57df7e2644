"""Runs batches of prompts on one model: packed where prefixes can be shared, else by `generate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, PreTrainedModel

from excise.vlm.chat import Chat
from excise.vlm.choice import Choice, likeliest
from excise.vlm.collation import joined_tokens, model_inputs
from excise.vlm.decoding import Lanes, decode
from excise.vlm.features import feature_cache
from excise.vlm.layout import Reader, lay_out
from excise.vlm.load import VLM
from excise.vlm.masks import moved
from excise.vlm.pictures import Pictures
from excise.vlm.prompts import (
    Prompt,
    in_batches,
    in_sequences,
    of_one_length,
    shared_tokens,
)

PLAIN = {
    "do_sample": False,
    "num_beams": 1,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "bad_words_ids": None,
    "suppress_tokens": None,
}


class Speaker:
    """Puts prompts to one model, with answers of at most `limit` tokens."""

    def __init__(self, vlm: VLM, limit: int) -> None:
        self._model: PreTrainedModel = vlm.model
        self._limit = limit
        self.chat = Chat(vlm.processor, vlm.model)
        self._pictures = Pictures(self.chat, vlm.model)
        self._reader = Reader(vlm.model, self.chat, self._pictures)

    def prompts(
        self, questions: Sequence[tuple[Image.Image | None, str]], starts: Sequence[str]
    ) -> tuple[list[int], list[Prompt]]:
        """The number of each question's prompt, and the different prompts.

        Raises:
            InputError: control tokens in a text, or a picture that the model cannot take.
        """
        numbers: dict[tuple[str, str, str], int] = {}
        prompts: list[Prompt] = []
        asked = []
        for (shown, text), start in zip(questions, starts, strict=True):
            picture = None if shown is None else self._pictures.encode(shown)
            group = "" if picture is None else picture.key
            key = (group, text, start)
            if key not in numbers:
                numbers[key] = len(prompts)
                ids, place = self.chat.begun(text, start, picture=picture is not None)
                if picture is not None:
                    ids, place = picture.splice.apply(ids), place + picture.splice.growth
                line = self._reader.line(ids, picture, place)
                prompts.append(Prompt(len(prompts), line, picture, ids[place:], group))
            asked.append(numbers[key])
        return asked, prompts

    def say(
        self,
        prompts: Sequence[Prompt],
        *,
        shared: bool,
        size: int,
        choose: Choice = likeliest,
    ) -> dict[int, list[int]]:
        """New ids by prompt number.

        Args:
            shared: whether prefixes can be shared (`sharing.py`).
            size: prompts at a time.
            choose: is asked by prompt number.
        """
        said: dict[int, list[int]] = {}
        for with_picture in (False, True):
            group = [p for p in prompts if (p.picture is not None) == with_picture]
            if shared:
                for rows in in_batches(in_sequences(group, self._limit, size), size):
                    said.update(self._packed(rows, choose))
            else:
                for batch in of_one_length(group, size):
                    said.update(self._alone(batch, choose))
        return said

    def text(self, prompt: Prompt, said: Sequence[int]) -> str:
        """The answer, with what it was made to begin with."""
        return self.chat.decode([*prompt.start, *said])

    def _packed(self, rows: list[list[Prompt]], choose: Choice) -> dict[int, list[int]]:
        device = self._model.device
        groups = [[prompt.line for prompt in row] for row in rows]
        layouts = [lay_out(lines, shared_tokens(lines)) for lines in groups]
        batch = model_inputs(
            self._reader,
            layouts,
            [row[0].picture for row in rows],
            pad_id=self.chat.pad_id,
            packed=True,
        )
        numbers = [prompt.number for row in rows for prompt in row]
        with feature_cache(self._model).serving(batch.pop("pictures")):
            new = decode(
                self._model,
                self._reader,
                Lanes.of(groups, device),
                moved(batch, device),
                joined_tokens(layouts).to(device),
                choose=_Numbered(choose, numbers),
                ends=self.chat.end_ids,
                pad_id=self.chat.pad_id,
                limit=self._limit,
            )
        return dict(zip(numbers, new, strict=True))

    def _alone(self, prompts: list[Prompt], choose: Choice) -> dict[int, list[int]]:
        """transformers' own `generate` on whole prompts of one length."""
        batch = model_inputs(
            self._reader,
            [lay_out([prompt.line], 0) for prompt in prompts],
            [prompt.picture for prompt in prompts],
            pad_id=self.chat.pad_id,
            packed=False,
        )
        model: Any = self._model
        numbers = [prompt.number for prompt in prompts]
        chosen = [] if choose is likeliest else [_Chosen(choose, numbers)]
        with feature_cache(self._model).serving(batch.pop("pictures")):
            out = model.generate(
                **moved(batch, model.device),
                **PLAIN,
                logits_processor=LogitsProcessorList(chosen),
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


def copies(prompt: Prompt, count: int) -> list[Prompt]:
    """The same prompt several times, to be sampled; they share a sequence with nobody else."""
    first = prompt.number * count
    group = f"{prompt.group} {prompt.line.ids}"
    return [replace(prompt, number=first + k, group=group) for k in range(count)]


class _Numbered:
    """A choice that is asked by a prompt's place in its batch."""

    def __init__(self, choose: Choice, numbers: Sequence[int]) -> None:
        self._choose, self._numbers = choose, numbers

    def __call__(self, logits: Tensor, numbers: Sequence[int], step: int) -> Tensor:
        return self._choose(logits, [self._numbers[number] for number in numbers], step)


class _Chosen(LogitsProcessor):
    """A choice as `generate` takes it: all tokens but the chosen one are ruled out."""

    def __init__(self, choose: Choice, numbers: Sequence[int]) -> None:
        self._choose, self._numbers = choose, numbers
        self._step = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        chosen = self._choose(scores, self._numbers, self._step)
        self._step += 1
        return torch.full_like(scores, -torch.inf).scatter(1, chosen[:, None], 0.0)
