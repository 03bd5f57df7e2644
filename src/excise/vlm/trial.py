"""One small row on a model, packed and alone: does packing change what the model says?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel, ProcessorMixin

from excise.records.errors import InputError
from excise.vlm.blocks import follows_the_rule
from excise.vlm.chat import Chat
from excise.vlm.collation import model_inputs
from excise.vlm.layout import Layout, Line, Reader, common_prefix, lay_out
from excise.vlm.masks import moved
from excise.vlm.pictures import EncodedPicture, Pictures

SAID = (("What is it?", "It is this."), ("And where would it be, if at all?", "It may be there."))
SIDES = (56, 448)
"""Of the picture, in pixels: the first that the processor takes."""
TOLERANCE = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""Of logits, relative to their spread: well above rounding, well below another context."""


def trial(model: PreTrainedModel, processor: ProcessorMixin) -> str | None:
    """What stands against packing, as a phrase; None if packed and separate rows agree.

    Raises:
        InputError: processor and model do not belong together.
    """
    chat = Chat(processor, model)
    pictures = Pictures(chat, model)
    reader = Reader(model, chat, pictures)
    picture = _encoded(pictures)
    if picture is None:
        return "its processor takes no picture to try it with"
    apart = {shown: _lines(chat, reader, shown) for shown in (picture, None)}
    blocks = reader.beginning(apart[picture][0][0].ids, picture).blocks
    if blocks.open_end:
        return "its picture tokens see the question"
    length = len(blocks.numbers)
    inputs = pictures.token_inputs(picture, length, length)
    if not follows_the_rule(model, reader.attention, inputs, blocks):
        return "its attention mask has a form of its own"
    with evaluating(model), torch.no_grad():
        alone = []
        for shown, said in apart.items():
            line, start = said[-1]
            alone.append(_logits(model, chat, reader, [lay_out([line], 0)], [shown], [start]))
        together, starts = [], []
        for said in apart.values():
            shared = min(common_prefix([x.ids for x, _ in said]), min(s for _, s in said) - 1)
            layout = lay_out([line for line, _ in said], shared)
            together.append(layout)
            last, start = said[-1]
            starts.append(len(layout.ids) - len(last.ids) + start)
        try:
            packed = _logits(model, chat, reader, together, [*apart], starts, packed=True)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            said_so = str(error).strip() or type(error).__name__
            return f"a packed row fails on it ({said_so.splitlines()[0][:120]})"
    expected = torch.cat(alone)
    spread = (expected - expected.mean(-1, keepdim=True)).norm()
    apart_by = ((packed - expected).norm() / spread).item()
    if not apart_by <= TOLERANCE.get(model.dtype, 0.1):  # nor is NaN
        return f"packed and separate rows differ on it by {apart_by:.1%} of the logits' spread"
    return None


@contextmanager
def evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Evaluation mode, with each module's own mode restored."""
    training = [module for module in model.modules() if module.training]
    model.train(False)
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _lines(chat: Chat, reader: Reader, picture: EncodedPicture | None) -> list[tuple[Line, int]]:
    lines = []
    for question, answer in SAID:
        ids, start = chat.conversation(question, answer, picture=picture is not None)
        if picture is not None:
            ids, start = picture.splice.apply(ids), start + picture.splice.growth
        lines.append((reader.line(ids, picture, start), start))
    return lines


def _logits(
    model: PreTrainedModel,
    chat: Chat,
    reader: Reader,
    layouts: list[Layout],
    pictures: list[EncodedPicture | None],
    starts: list[int],
    *,
    packed: bool = False,
) -> Tensor:
    """(N, vocabulary), float32: the predictions of all tokens from each layout's start on."""
    batch: dict[str, Any] = model_inputs(
        reader, layouts, pictures, pad_id=chat.pad_id, packed=packed
    )
    batch.pop("pictures")
    keep = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
    for row, (layout, start) in enumerate(zip(layouts, starts, strict=True)):
        keep[row, start - 1 : len(layout.ids) - 1] = True
    run: Any = model
    logits: Tensor = run(
        **moved(batch, model.device), use_cache=False, logits_to_keep=keep.to(model.device)
    ).logits
    return logits.float().cpu()


def _encoded(pictures: Pictures) -> EncodedPicture | None:
    """A picture neither uniform nor symmetric, as small as the processor takes it."""
    for side in SIDES:
        shades = Image.linear_gradient("L").resize((side, side))
        drawn = Image.merge("RGB", [shades, shades.rotate(90), shades.rotate(180)])
        with suppress(InputError):
            return pictures.encode(drawn)
    return None
