"""Pictures as a model takes them: the processor's tensors, and its tokens for the placeholder.

The processor is called once a picture, with a question that only serves to see how it expands the
template's placeholder (`Splice`); every other question about the picture is then expanded on token
ids alone. That the expansion has as many image tokens as the model makes features is checked once
for each shape of picture, with one pass of the vision tower.

What a processor returns is told apart by its shape, not by the family's name: one value a token
(`mm_token_type_ids`, `cross_attention_mask`, ...) goes to `token_values`, all else to `tensors`.
Processed pictures are kept by content, so equal pictures are processed once, up to `limit` bytes.
"""

from __future__ import annotations

import hashlib
import inspect
from collections import OrderedDict
from typing import Any
from weakref import WeakKeyDictionary

import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel

from excise.records.errors import InputError
from excise.vlm import families
from excise.vlm.chat import PROBE, Chat
from excise.vlm.picture_tensors import CROSS_ATTENTION as CROSS_ATTENTION
from excise.vlm.picture_tensors import EncodedPicture as EncodedPicture
from excise.vlm.picture_tensors import Splice as Splice
from excise.vlm.picture_tensors import join_pictures as join_pictures
from excise.vlm.picture_tensors import splice_of

MAX_IMAGE_TOKENS = 8192
"""How many tokens one picture may take, unless `allow_image_tokens` says otherwise."""

NOT_KEPT = ("input_ids", "attention_mask", "labels")
"""What processors return that batches make for themselves."""

_allowed: WeakKeyDictionary[PreTrainedModel, int] = WeakKeyDictionary()


def allow_image_tokens(model: PreTrainedModel, count: int) -> None:
    """Let one picture take up to `count` tokens of this model.

    Raises:
        InputError: `count` is not positive.
    """
    if count < 1:
        raise InputError(f"max_image_tokens is {count}, expected a positive number")
    _allowed[model] = count


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
        self._accepted = set(inspect.signature(model.forward).parameters)
        self._answer_values = families.answer_values(model)
        self._prompt = chat.text(PROBE, picture=True)
        self._raw = chat.prompt(PROBE, picture=True)

    def encode(self, picture: Image.Image) -> EncodedPicture:
        """Process a picture, or return what was kept of it.

        Raises:
            InputError: the processor refuses it, makes more tokens of it than allowed or than the
                model has positions, or another number of image tokens than the model makes
                features.
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

    def token_inputs(
        self, picture: EncodedPicture | None, length: int, answer_start: int
    ) -> dict[str, Tensor]:
        """The model's inputs of one value a token, each (length, ...), for a sequence.

        Args:
            picture: the sequence's picture, whose tokens are in the place where its splice puts
                them; a sequence without one has values only where its family needs them. In a
                batch with others, what a sequence lacks is zero.
            length: of the sequence, in tokens.
            answer_start: where the answer begins, `length` for a prompt alone.
        """
        found: dict[str, Tensor] = {}
        if picture is not None:
            for name, values in picture.token_values.items():
                behind = values[-1:].expand(length - picture.splice.length, *values.shape[1:])
                found[name] = torch.cat([values[:-1], behind])
        for name, value in self._answer_values.items():
            found[name] = torch.zeros(length, dtype=torch.long)
            found[name][answer_start:] = value
        return found

    def _process(self, key: str, picture: Image.Image) -> EncodedPicture:
        if self._prompt == self._chat.text(PROBE, picture=False):
            raise InputError("the chat template has no place for a picture, expected a placeholder")
        try:
            inputs = self._chat.processor(
                text=[families.for_processor(self._chat.processor, self._prompt)],
                images=[picture],
                return_tensors="pt",
                add_special_tokens=self._chat.adds_bos(self._prompt),
                truncation=False,
            )
        except ImportError as error:
            raise InputError(f"the processor needs a package ({error})") from None
        except Exception as error:
            raise InputError(f"the processor refuses the picture ({error})") from None
        ids = tuple(inputs["input_ids"][0].tolist())
        splice = splice_of(self._raw, ids, self._chat.image_id)
        dtype = self._model.dtype  # not every vision tower casts its input
        tensors: dict[str, Tensor] = {}
        token_values: dict[str, Tensor] = {}
        for name, value in inputs.items():
            if name in NOT_KEPT or name not in self._accepted or not isinstance(value, Tensor):
                continue
            if value.shape[:2] == (1, len(ids)):
                token_values[name] = value[0, : splice.length + 1].clone()
            else:
                tensors[name] = value.to(dtype) if value.is_floating_point() else value
        count = sum(token == self._chat.image_id for token in ids)
        return EncodedPicture(key, splice, tensors, count, token_values)

    def _check(self, encoded: EncodedPicture) -> None:
        count, whole = encoded.image_tokens, encoded.splice.growth + 1
        allowed = _allowed.get(self._model, MAX_IMAGE_TOKENS)
        if count > allowed:
            raise InputError(
                f"the picture makes {count} image tokens, at most {allowed} are allowed; scale it "
                "down, or raise the limit with --max-image-tokens (max_image_tokens= of load)"
            )
        text = self._model.config.get_text_config()
        positions = getattr(text, "max_position_embeddings", None)
        if positions is not None and whole >= positions:
            raise InputError(
                f"the picture takes {whole} tokens, which would be cut off at the model's "
                f"{positions} positions; scale it down"
            )
        shapes = (count, *((n, t.shape) for n, t in encoded.tensors.items()))
        if self._chat.image_id is None or shapes in self._checked:
            return
        features = count_features(self._model, encoded.tensors)
        if features is not None and features != count:
            raise InputError(
                f"the processor makes {count} image tokens, but the model "
                f"{features} picture features; processor and model do not belong together"
            )
        self._checked.add(shapes)


@torch.no_grad()
def count_features(model: PreTrainedModel, tensors: dict[str, Tensor]) -> int | None:
    """How many features the model makes of a picture; None if the model cannot be asked."""
    # The inner model first: the outer one may pass on what its signature does not name.
    inner: Any = model.base_model
    ask = getattr(inner, "get_image_features", None) or getattr(model, "get_image_features", None)
    if ask is None:
        return None
    accepted = inspect.signature(ask).parameters
    given = {name: t.to(model.device) for name, t in tensors.items() if name in accepted}
    features = ask(**given)
    features = getattr(features, "pooler_output", features)
    parts: list[Tensor] = list(features) if isinstance(features, list | tuple) else [features]
    return sum(int(part.numel()) // int(part.shape[-1]) for part in parts)


def _size(encoded: EncodedPicture) -> int:
    tensors = (*encoded.tensors.values(), *encoded.token_values.values())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
