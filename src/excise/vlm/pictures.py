"""Pictures as a model takes them: the processor's tensors, and its tokens for the placeholder.

The processor is called once a picture, with a question that only serves to see how it expands the
template's placeholder (`Splice`); every other question about the picture is then expanded on token
ids alone. That the expansion has as many image tokens as the model makes features is checked once
for each shape of picture, with one pass of the vision tower.
Processed pictures are kept by content, so equal pictures are processed once, up to `limit` bytes.
"""

from __future__ import annotations

import hashlib
import inspect
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel

from excise.records.errors import InputError
from excise.vlm.chat import PROBE, Chat

TEXT_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
"""What processors return about the text; the rest is about the pictures."""


@dataclass(frozen=True)
class Splice:
    """`head + raw + tail` becomes `head + expanded + tail`; head and tail of raw prompts stay."""

    head: tuple[int, ...]
    raw: tuple[int, ...]
    expanded: tuple[int, ...]

    @property
    def length(self) -> int:
        """Tokens through the end of the picture."""
        return len(self.head) + len(self.expanded)

    @property
    def growth(self) -> int:
        return len(self.expanded) - len(self.raw)

    def apply(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        """Raises InputError if `ids` does not begin as every prompt with a picture does."""
        before = self.head + self.raw
        if ids[: len(before)] != before:
            raise InputError("chat template: the picture is not at the same place in every prompt")
        return self.head + self.expanded + ids[len(before) :]


@dataclass(frozen=True, eq=False)
class EncodedPicture:
    """A processed picture: `tensors` are the model's inputs, each with a first axis to join on."""

    key: str
    splice: Splice
    tensors: dict[str, Tensor]
    image_tokens: int


def picture_key(picture: Image.Image) -> str:
    """A hash of mode, size and pixels."""
    digest = hashlib.blake2b(f"{picture.mode} {picture.size}".encode(), digest_size=16)
    digest.update(picture.tobytes())
    return digest.hexdigest()


class Pictures:
    """Processes pictures for one model, each content once."""

    def __init__(self, chat: Chat, model: PreTrainedModel, *, limit: int = 1 << 30) -> None:
        self._chat = chat
        self._model = model
        self._limit = limit
        self._kept: OrderedDict[str, EncodedPicture] = OrderedDict()
        self._bytes = 0
        self._checked: set[tuple[Any, ...]] = set()
        self._prompt = chat.text(PROBE, picture=True)
        self._raw = chat.prompt(PROBE, picture=True)

    def encode(self, picture: Image.Image) -> EncodedPicture:
        """Process a picture, or return what was kept of it.

        Raises:
            InputError: the processor refuses it, or makes another number of image tokens than the
                model makes features.
        """
        key = picture_key(picture)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        encoded = self._process(key, picture)
        self._check(encoded)
        self._kept[key] = encoded
        self._bytes += _size(encoded)
        while self._bytes > self._limit and len(self._kept) > 1:
            self._bytes -= _size(self._kept.popitem(last=False)[1])
        return encoded

    def _process(self, key: str, picture: Image.Image) -> EncodedPicture:
        try:
            inputs = self._chat.processor(
                text=[self._prompt],
                images=[picture],
                return_tensors="pt",
                add_special_tokens=self._chat.adds_bos(self._prompt),
            )
        except Exception as error:
            raise InputError(f"the processor refuses the picture ({error})") from None
        ids = tuple(inputs["input_ids"][0].tolist())
        dtype = self._model.dtype  # not every vision tower casts its input
        tensors = {
            name: value.to(dtype) if value.is_floating_point() else value
            for name, value in inputs.items()
            if name not in TEXT_INPUTS and isinstance(value, Tensor)
        }
        image_id = self._chat.image_id
        count = sum(token == image_id for token in ids)
        return EncodedPicture(key, _splice(self._raw, ids), tensors, count)

    def _check(self, encoded: EncodedPicture) -> None:
        shapes = (encoded.image_tokens, *((n, t.shape) for n, t in encoded.tensors.items()))
        if self._chat.image_id is None or shapes in self._checked:
            return
        features = count_features(self._model, encoded.tensors)
        if features is not None and features != encoded.image_tokens:
            raise InputError(
                f"the processor makes {encoded.image_tokens} image tokens, but the model "
                f"{features} picture features; processor and model do not belong together"
            )
        self._checked.add(shapes)


@torch.no_grad()
def count_features(model: PreTrainedModel, tensors: dict[str, Tensor]) -> int | None:
    """How many features the model makes of a picture; None if the model cannot be asked."""
    ask: Any = getattr(model, "get_image_features", None)
    if ask is None:
        return None
    accepted = inspect.signature(ask).parameters
    given = {name: t.to(model.device) for name, t in tensors.items() if name in accepted}
    features = ask(**given)
    features = getattr(features, "pooler_output", features)
    parts: list[Tensor] = list(features) if isinstance(features, list | tuple) else [features]
    return sum(int(part.numel()) // int(part.shape[-1]) for part in parts)


def _splice(raw: tuple[int, ...], expanded: tuple[int, ...]) -> Splice:
    shorter = min(len(raw), len(expanded))
    head = 0
    while head < shorter and raw[head] == expanded[head]:
        head += 1
    tail = 0
    while tail < shorter - head and raw[-1 - tail] == expanded[-1 - tail]:
        tail += 1
    return Splice(raw[:head], raw[head : len(raw) - tail], expanded[head : len(expanded) - tail])


def _size(encoded: EncodedPicture) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in encoded.tensors.values())
