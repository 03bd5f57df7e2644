"""RMU: what the model makes of forgotten questions inside is turned into one random direction.

At one layer, the activations of forgotten texts are pulled to `c u`, u a random unit vector, and
those of retained texts are held to the untouched model's. The layers above never saw such
activations on anything else and say nothing sensible about them. Adapters above the layer get no
gradient and stay at zero.

Counted are the tokens of question and answer with the template around them. Padding is left out,
and so are the picture's own tokens: they are nine in ten of a row, are the same whatever is asked,
and turning them would blind the model to the picture, which is to be understood as before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from transformers import PreTrainedModel

from excise.methods.by_loss import ByFit
from excise.methods.method import Material
from excise.records.errors import InputError
from excise.training.answers import Answers
from excise.training.loss import run_answers
from excise.training.reference import untouched
from excise.training.trainer import Loss
from excise.vlm.decoder_blocks import decoder_blocks
from excise.vlm.packing import IGNORED
from excise.vlm.tokens import image_id
from excise.vlm.wrapping import unwrapped


class RMU(ByFit):
    """`rmu`: `|h - steering u|²` on forgotten and `retain |h - h_0|²` on retained texts.

    Both are means over the layer's units, as in the authors' code. `steering` is the length that
    activations are pulled to, so it has to be seen beside theirs, which differ from model to model
    and grow with depth: the default is that for Zephyr-7B; others have used up to 300.
    """

    name: ClassVar[str] = "rmu"
    needs: ClassVar[tuple[str, ...]] = ("few", "reference", "activations")
    reference: ClassVar[str] = "Li et al., WMDP (arXiv 2403.03218)"

    steering: float = Field(6.5, gt=0)
    retain: float = Field(1200.0, ge=0)
    layer: int | None = Field(None, ge=0)
    """Counted from 0, the lowest; a quarter of the way up if not given (7 of 32)."""

    def bound(self, material: Material) -> Loss:
        vlm = material.vlm
        blocks = decoder_blocks(vlm.model, vlm.parts)
        layer = max(0, round(len(blocks) / 4) - 1) if self.layer is None else self.layer
        if layer >= len(blocks):
            raise InputError(f"rmu: option layer={layer}: expected at most {len(blocks) - 1}")
        picture = image_id(vlm.processor, vlm.model)

        def loss(model: PreTrainedModel, batch: Mapping[str, Any]) -> Tensor:
            block: nn.Module = unwrapped(model).get_submodule(blocks[layer])
            now = activations(model, block, batch)
            with untouched(model):
                then = activations(model, block, batch)
            aim = self.steering * direction(now.shape[-1], material.seed).to(now.device)
            answers, texts = Answers(batch), Texts(batch, picture)
            forget = texts.means((now - aim).square().mean(-1))
            apart = texts.means((now - then).square().mean(-1))
            keep = answers.mean_of_answers(apart, "keep")
            return answers.mean_of_answers(forget, "forget") + self.retain * keep

        return loss


def direction(size: int, seed: int) -> Tensor:
    """u, (size,): entries uniform in [0, 1), brought to length 1; the same for the same seed."""
    drawn = torch.rand(size, generator=torch.Generator().manual_seed(seed))
    return nn.functional.normalize(drawn, dim=0)


def activations(model: PreTrainedModel, block: nn.Module, batch: Mapping[str, Any]) -> Tensor:
    """What a block hands on in a forward pass over the batch, (B, T, hidden), float32."""
    with _listening(block) as heard:
        run_answers(model, batch)
    return heard[-1].float()


class Texts:
    """Which tokens of a batch are the text of each of its answers, in the order of `Answers`."""

    def __init__(self, batch: Mapping[str, Any], picture: int | None) -> None:
        answered = batch["labels"] != IGNORED
        ends = answered.clone()
        ends[:, :-1] &= ~answered[:, 1:]
        self._rows, places = ends.nonzero(as_tuple=True)
        # An answer's last token sees the whole of its text and of no other question's.
        self._own = _seen(batch["attention_mask"], self._rows, places)
        if picture is not None:
            self._own &= batch["input_ids"][self._rows] != picture

    def means(self, values: Tensor) -> Tensor:
        """(A,): the mean of (B, T) values over each text; what texts share counts for each."""
        own, rows = self._own.to(values.device), self._rows.to(values.device)
        return (values[rows] * own).sum(1) / own.sum(1)


def _seen(mask: Any, rows: Tensor, places: Tensor) -> Tensor:
    """(A, T) bool: what tokens see, each by its row and place, as far as any layer looks."""
    if isinstance(mask, Mapping):
        return torch.stack([_seen(one, rows, places) for one in mask.values()]).any(0)
    alone = mask.dim() == 2  # a question a row, and no mask but that of padding
    seen: Tensor = mask[rows] if alone else mask[rows, 0, places]
    return seen == 0 if seen.is_floating_point() else seen.bool()


@contextmanager
def _listening(block: nn.Module) -> Iterator[list[Tensor]]:
    heard: list[Tensor] = []

    def hear(module: nn.Module, given: Any, output: Any) -> None:
        heard.append(output[0] if isinstance(output, tuple) else output)

    hook = block.register_forward_hook(hear)
    try:
        yield heard
    finally:
        hook.remove()
