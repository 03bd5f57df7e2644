"""Answers that are drawn, answers that begin with less likely words, and how likely a word is.

The samples of a prompt share its tokens, so twenty of them cost one prompt and twenty short
answers. They are the same whatever else is asked beside it (`choice.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from excise.records.errors import InputError
from excise.vlm.choice import Drawn, uniforms
from excise.vlm.layout import common_prefix
from excise.vlm.load import VLM
from excise.vlm.sharing import sharing_obstacle
from excise.vlm.speaker import Speaker, copies
from excise.vlm.trial import evaluating

Question = tuple[Image.Image | None, str]


class NextToken(NamedTuple):
    """A token's chance of being the next: its probability, and its rank, 1 for the likeliest."""

    probability: float
    rank: int


@torch.inference_mode()
def sample(
    vlm: VLM,
    questions: Sequence[Question],
    *,
    samples: int,
    temperature: float = 1.0,
    seed: int = 0,
    starts: Sequence[str] | None = None,
    max_new_tokens: int = 48,
    batch_size: int = 64,
) -> list[list[str]]:
    """Draw several answers to each question from the model's own distribution.

    Args:
        samples: answers a question.
        temperature: divides the logits; 1 leaves the distribution as it is.
        seed: chooses the draws. They depend on seed, question, picture and start alone.
        starts: what each answer is made to begin with, "" for nothing.
        max_new_tokens: where an answer is cut off, in tokens behind its start.
        batch_size: answers at a time; memory grows with it.

    Returns:
        `samples` answers a question, in order, in the form of `generation.answer`.

    Raises:
        InputError: no samples or a temperature of 0 or less, control tokens in a question or
            start, or a picture that the model cannot take.
    """
    if samples < 1:
        raise InputError(f"samples {samples}: expected at least 1")
    if not temperature > 0:
        raise InputError(f"temperature {temperature}: expected more than 0")
    if not questions:
        return []
    speaker = Speaker(vlm, max_new_tokens)
    with evaluating(vlm.model):
        shared = sharing_obstacle(vlm.model, vlm.processor) is None
        asked, prompts = speaker.prompts(questions, starts or [""] * len(questions))
        draws = [
            uniforms(seed, f"{prompt.group} {prompt.line.ids}", samples, max_new_tokens)
            for prompt in prompts
        ]
        said = speaker.say(
            [copy for prompt in prompts for copy in copies(prompt, samples)],
            shared=shared,
            size=batch_size,
            choose=Drawn(torch.cat(draws), temperature),
        )
    return [
        [speaker.text(prompts[n], said[n * samples + k]) for k in range(samples)] for n in asked
    ]


@torch.inference_mode()
def branch(
    vlm: VLM,
    questions: Sequence[Question],
    *,
    branches: int,
    starts: Sequence[str] | None = None,
    max_new_tokens: int = 48,
    batch_size: int = 64,
) -> list[list[str]]:
    """Begin with each of the likeliest first tokens, and go on greedily.

    The first of a question's answers is that of `generation.answer`. After Wang and Zhou
    (arXiv 2402.10200), who find reasoning that way.

    Args:
        branches: first tokens a question, from the likeliest on; an end of the answer is one too.
        starts, max_new_tokens, batch_size: as for `sample`.

    Returns:
        `branches` answers a question, in order.

    Raises:
        InputError: no branches, and as for `sample`.
    """
    if branches < 1:
        raise InputError(f"branches {branches}: expected at least 1")
    if not questions:
        return []

    def choose(logits: Tensor, numbers: Sequence[int], step: int) -> Tensor:
        if step > 0:
            return logits.argmax(-1)
        ranked = logits.topk(min(branches, logits.shape[-1])).indices
        place = torch.tensor([number % branches for number in numbers], device=ranked.device)
        return ranked.gather(1, place.clamp(max=ranked.shape[-1] - 1)[:, None])[:, 0]

    speaker = Speaker(vlm, max_new_tokens)
    with evaluating(vlm.model):
        asked, prompts = speaker.prompts(questions, starts or [""] * len(questions))
        said = speaker.say(
            [copy for prompt in prompts for copy in copies(prompt, branches)],
            shared=sharing_obstacle(vlm.model, vlm.processor) is None,
            size=batch_size,
            choose=choose,
        )
    return [
        [speaker.text(prompts[n], said[n * branches + k]) for k in range(branches)] for n in asked
    ]


@torch.inference_mode()
def next_tokens(
    vlm: VLM,
    questions: Sequence[Question],
    answers: Sequence[str],
    *,
    starts: Sequence[str] | None = None,
    batch_size: int = 64,
) -> list[NextToken]:
    """How likely each answer's first token is, right behind its start.

    Args:
        answers: what is to follow the start of each question's answer.
        starts: what each answer is made to begin with, "" for nothing.

    Raises:
        InputError: control tokens in a text, or a picture that the model cannot take.
    """
    if not questions:
        return []
    speaker = Speaker(vlm, 1)
    begun = starts or [""] * len(questions)
    with evaluating(vlm.model):
        shared = sharing_obstacle(vlm.model, vlm.processor) is None
        asked, prompts = speaker.prompts(questions, begun)
        wanted = [
            _first_token(speaker, question, start, answer)
            for question, start, answer in zip(questions, begun, answers, strict=True)
        ]
        watched: dict[int, dict[int, NextToken | None]] = {prompt.number: {} for prompt in prompts}
        for number, token in zip(asked, wanted, strict=True):
            watched[number][token] = None

        def watch(logits: Tensor, numbers: Sequence[int], step: int) -> Tensor:
            for row, number in zip(logits.float(), numbers, strict=True):
                chances = row.softmax(-1)
                for token in watched[number]:
                    rank = 1 + int((row > row[token]).sum())
                    watched[number][token] = NextToken(float(chances[token]), rank)
            return logits.argmax(-1)

        speaker.say(prompts, shared=shared, size=batch_size, choose=watch)
    found = [watched[number][token] for number, token in zip(asked, wanted, strict=True)]
    return [token for token in found if token is not None]


def _first_token(speaker: Speaker, question: Question, start: str, answer: str) -> int:
    """The answer's first token as it is written behind the start."""
    picture, text = question
    seen = picture is not None
    before = speaker.chat.begun(text, start, picture=seen).ids
    whole = speaker.chat.begun(text, f"{start} {answer}", picture=seen).ids
    # Where the two join in one token, that is the first one of the answer.
    return whole[min(common_prefix([before, whole]), len(whole) - 1)]
