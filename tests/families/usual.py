"""The usual way: one conversation at a time through the family's processor, unpadded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from excise.vlm import VLM, Chat, Row


def processed(
    vlm: VLM, picture: Image.Image | None, question: str, answer: str | None = None
) -> dict[str, Tensor]:
    """What the processor itself makes of a prompt, or of a prompt and its answer."""
    processor: Any = vlm.processor
    chat = Chat(vlm.processor, vlm.model)
    ids, start = chat.conversation(question, answer or "", picture=picture is not None)
    said = chat.tokenizer.decode(ids[start:])
    shown: dict[str, Any] = {} if picture is None else {"images": [picture]}
    if type(processor).__name__ == "PaliGemmaProcessor":  # it writes the format by itself
        suffix = {} if answer is None else {"suffix": [answer]}
        text = ["<image>" + question]
        made = processor(text=text, **shown, **suffix, return_tensors="pt")
        return {name: value for name, value in made.items() if name != "labels"}
    text = chat.text(question, picture=picture is not None)
    text += "" if answer is None else said
    made = processor(
        text=[text], **shown, add_special_tokens=chat.adds_bos(text), return_tensors="pt"
    )
    if answer is not None:
        assert made["input_ids"][0, start - len(ids) :].tolist() == list(ids[start:])
    return dict(made)


def loss_and_gradient(vlm: VLM, rows: Sequence[Row]) -> tuple[float, dict[str, Tensor]]:
    """Mean loss over the answer tokens of all conversations, each run by itself."""
    chat = Chat(vlm.processor, vlm.model)
    vlm.model.zero_grad()
    each: list[tuple[dict[str, Tensor], int]] = []
    for row in rows:
        for turn in row.turns:
            ids, start = chat.conversation(
                turn.question, turn.answer, picture=row.picture is not None
            )
            made = processed(vlm, row.picture, turn.question, turn.answer)
            each.append((made, len(ids) - start))
    total = sum(count for _, count in each)
    value = 0.0
    for inputs, count in each:
        logits = vlm.model(**inputs, use_cache=False).logits[0, -count - 1 : -1]
        said = inputs["input_ids"][0, -count:]
        loss = nn.functional.cross_entropy(logits, said, reduction="sum") / total
        loss.backward()
        value += loss.item()
    return value, gradient(vlm)


def gradient(vlm: VLM) -> dict[str, Tensor]:
    """Of every parameter that has one."""
    return {
        name: parameter.grad.clone()
        for name, parameter in vlm.model.named_parameters()
        if parameter.grad is not None and bool(parameter.grad.any())
    }


def difference(one: dict[str, Tensor], two: dict[str, Tensor]) -> float:
    """The largest relative difference of a parameter's gradient.

    Some gradients are zero but for rounding, such as that of a key's bias without rotation: what is
    smaller than a thousandth of the whole is measured against that.
    """
    whole = torch.stack([tensor.norm() for tensor in two.values()]).norm().item()
    assert whole > 0

    def each() -> Iterator[float]:
        for name in one.keys() | two.keys():
            mine, theirs = one.get(name), two.get(name)
            apart = torch.as_tensor(0.0 if mine is None else mine) - (
                0.0 if theirs is None else theirs
            )
            size = 0.0 if theirs is None else theirs.norm().item()
            yield apart.norm().item() / max(size, 1e-3 * whole)

    return max(each())


def answered(
    vlm: VLM, picture: Image.Image | None, question: str, ends: set[int], limit: int
) -> str:
    """transformers' `generate` on one prompt."""
    chat = Chat(vlm.processor, vlm.model)
    inputs = processed(vlm, picture, question)
    model: Any = vlm.model
    with torch.no_grad():
        out = model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=limit,
            eos_token_id=sorted(ends),
            pad_token_id=chat.pad_id,
        )
    new = out[0, inputs["input_ids"].shape[1] :].tolist()
    end = next((place for place, token in enumerate(new) if token in ends), len(new))
    return chat.decode(new[:end])
