"""Greedy answers to many questions at once, the same as one by one.

Questions are ordered by picture and length. A batch's distinct pictures run through the vision
tower and the language model once; their key-value cache is copied to the questions, which then
only cost their own tokens. Answers that are over leave the batch, so one long caption does not
hold up sixty-three short answers. On a model whose prefixes cannot be shared, `generate` does the
work on whole prompts of one length, so that it needs no padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel

from excise.vlm.chat import Chat
from excise.vlm.load import VLM
from excise.vlm.packing import join_pictures
from excise.vlm.pictures import EncodedPicture, Pictures
from excise.vlm.sharing import common_prefix, sharing_obstacle


@dataclass(frozen=True, eq=False)
class _Prompt:
    """A prompt of which the first `shared` ids are those of every prompt with its picture."""

    ids: tuple[int, ...]
    shared: int
    picture: EncodedPicture | None

    @property
    def own(self) -> tuple[int, ...]:
        return self.ids[self.shared :]


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
    model: Any = vlm.model
    chat = Chat(vlm.processor, model)
    pictures = Pictures(chat, model)
    was_training = model.training
    model.eval()
    shares = sharing_obstacle(model) is None
    try:
        answers: dict[tuple[str | None, str], str] = {}
        keyed = [
            (None if picture is None else pictures.encode(picture), text)
            for picture, text in questions
        ]
        keys = [(None if picture is None else picture.key, text) for picture, text in keyed]
        distinct = dict(zip(keys, keyed, strict=True))
        for with_picture in (False, True):
            group = [key for key in distinct if (key[0] is not None) == with_picture]
            prompts = _prompts(chat, [distinct[key] for key in group])
            for batch in _batches(prompts, batch_size, same_length=not shares):
                run = _shared if shares else _plain
                ids = run(model, chat, [prompts[i] for i in batch], max_new_tokens)
                answers.update(
                    {group[i]: chat.decode(out) for i, out in zip(batch, ids, strict=True)}
                )
        return [answers[key] for key in keys]
    finally:
        model.train(was_training)


def _prompts(chat: Chat, asked: list[tuple[EncodedPicture | None, str]]) -> list[_Prompt]:
    if not asked:
        return []
    raw = [chat.prompt(text, picture=picture is not None) for picture, text in asked]
    # The last token of a prompt has to be run for each question: it makes the first logits.
    common = min(common_prefix(raw), min(map(len, raw)) - 1)
    prompts = []
    for (picture, _), ids in zip(asked, raw, strict=True):
        if picture is None:
            prompts.append(_Prompt(ids, common, None))
        else:
            whole = picture.splice.apply(ids)
            prompts.append(_Prompt(whole, common + picture.splice.growth, picture))
    return prompts


def _batches(prompts: list[_Prompt], size: int, *, same_length: bool) -> list[list[int]]:
    def order(index: int) -> tuple[Any, ...]:
        prompt = prompts[index]
        key = prompt.picture.key if prompt.picture else ""
        if same_length:
            return (len(prompt.ids), key)
        return (prompt.shared, key, len(prompt.own))

    places = sorted(range(len(prompts)), key=order)
    if not same_length:
        groups = [places]
    else:
        groups = [list(g) for _, g in groupby(places, key=lambda i: len(prompts[i].ids))]
    return [g[start : start + size] for g in groups for start in range(0, len(g), size)]


def _shared(
    model: PreTrainedModel, chat: Chat, prompts: list[_Prompt], limit: int
) -> list[list[int]]:
    """Greedy decoding behind shared prefixes; a list of new ids for each prompt."""
    device = model.device
    heads: dict[str | None, int] = {}
    firsts: list[_Prompt] = []
    for prompt in prompts:
        key = prompt.picture.key if prompt.picture else None
        if key not in heads:
            heads[key] = len(firsts)
            firsts.append(prompt)
    owner = torch.tensor(
        [heads[p.picture.key if p.picture else None] for p in prompts], device=device
    )

    cache, seen = None, torch.zeros(len(prompts), 0, dtype=torch.long, device=device)
    if max(prompt.shared for prompt in prompts) > 0:
        # Padded on the right: real tokens never look there, and no padding has an empty mask row.
        ids, mask = _pad([p.ids[: p.shared] for p in firsts], chat.pad_id, left=False)
        pictures = join_pictures([p.picture for p in firsts if p.picture is not None])
        out = model(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            position_ids=torch.arange(ids.shape[1], device=device).expand_as(ids),
            use_cache=True,
            logits_to_keep=1,
            **{name: tensor.to(device) for name, tensor in pictures.items()},
        )
        cache, seen = out.past_key_values, mask.to(device)[owner]
        cache.batch_select_indices(owner)

    ids, mask = _pad([prompt.own for prompt in prompts], chat.pad_id, left=True)
    ids, mask = ids.to(device), mask.to(device)
    start = torch.tensor([prompt.shared for prompt in prompts], device=device)[:, None]
    position = (start + mask.cumsum(1) - 1).clamp(min=0)
    seen = torch.cat([seen, mask], dim=1)
    new: list[list[int]] = [[] for _ in prompts]
    alive = list(range(len(prompts)))
    for step in range(limit):
        out = model(
            input_ids=ids,
            attention_mask=seen,
            position_ids=position,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache = out.past_key_values
        chosen = out.logits[:, -1].argmax(-1)
        tokens = chosen.tolist()
        going = [slot for slot, token in enumerate(tokens) if token not in chat.end_ids]
        for slot in going:
            new[alive[slot]].append(tokens[slot])
        if not going or step == limit - 1:
            break
        position = position[:, -1:] + 1
        if len(going) < len(alive):
            rest = torch.tensor(going, device=device)
            cache.batch_select_indices(rest)
            chosen, seen, position = chosen[rest], seen[rest], position[rest]
            alive = [alive[slot] for slot in going]
        ids = chosen[:, None]
        seen = torch.cat([seen, seen.new_ones(len(alive), 1)], dim=1)
    return new


def _plain(
    model: PreTrainedModel, chat: Chat, prompts: list[_Prompt], limit: int
) -> list[list[int]]:
    """transformers' own `generate` on whole prompts of one length."""
    ids = torch.tensor([prompt.ids for prompt in prompts], device=model.device)
    pictures = join_pictures([p.picture for p in prompts if p.picture is not None])
    generator: Any = model
    out = generator.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        num_beams=1,
        max_new_tokens=limit,
        eos_token_id=sorted(chat.end_ids),
        pad_token_id=chat.pad_id,
        **{name: tensor.to(model.device) for name, tensor in pictures.items()},
    )
    new: list[list[int]] = []
    for row in out[:, ids.shape[1] :].tolist():
        ends = [place for place, token in enumerate(row) if token in chat.end_ids]
        new.append(row[: ends[0]] if ends else row)
    return new


def _pad(rows: list[tuple[int, ...]], fill: int, *, left: bool) -> tuple[Tensor, Tensor]:
    """Token ids and their mask, both (B, longest)."""
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), fill)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    for place, row in enumerate(rows):
        where = slice(longest - len(row), longest) if left else slice(0, len(row))
        ids[place, where] = torch.tensor(row)
        mask[place, where] = 1
    return ids, mask
