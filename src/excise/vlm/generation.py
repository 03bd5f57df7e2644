"""Greedy answers to many questions at once, the same as one by one.

Where prefixes can be shared (`sharing.py`), the questions about a picture stand packed behind it
(`decoding.py`), so that a picture is read once for several questions, each of which then costs its
own tokens. Sequences of like length run together, and answers that are over leave, so one long
caption does not hold up sixty-three short answers. On other models `generate` does the work on
whole prompts of one length, so that it needs no padding. Either way an answer is the likeliest
token each time: penalties and bans of the checkpoint's generation settings do not apply.

An answer may be made to begin with given words. Their tokens stand behind the prompt, as if the
model had said them, and it goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image

from excise.vlm.chat import Chat as Chat
from excise.vlm.load import VLM
from excise.vlm.sharing import sharing_obstacle
from excise.vlm.speaker import Speaker
from excise.vlm.trial import evaluating


@torch.inference_mode()
def answer(
    vlm: VLM,
    questions: Sequence[tuple[Image.Image | None, str]],
    *,
    starts: Sequence[str] | None = None,
    max_new_tokens: int = 48,
    batch_size: int = 64,
) -> list[str]:
    """Answer each question greedily, about its picture if it has one.

    Args:
        starts: what each answer is made to begin with, "" for nothing.
        max_new_tokens: where an answer is cut off, in tokens behind its start.
        batch_size: questions at a time; memory grows with it.

    Returns:
        One answer a question, in order, its start included, without special tokens and outer
        blanks.

    Raises:
        InputError: control tokens in a question or start, or a picture that the model cannot take.
    """
    if not questions:
        return []
    speaker = Speaker(vlm, max_new_tokens)
    with evaluating(vlm.model):
        shared = sharing_obstacle(vlm.model, vlm.processor) is None
        asked, prompts = speaker.prompts(questions, starts or [""] * len(questions))
        said = speaker.say(prompts, shared=shared, size=batch_size)
    return [speaker.text(prompts[number], said[number]) for number in asked]
