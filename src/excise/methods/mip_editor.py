"""MIP-Editor: cut the neuron paths that the forgotten answers lean on, and retrain only those.

1. For each row of the forget set a path is looked for through the feed-forward blocks, and the
   `topk` best neurons of each block on it are taken (`training/neuron_paths.py`); together they are
   the influential neurons.
2. They are silenced: their rows in the layer that is multiplied with the gate, or in the only one,
   start from zero.
3. Their rows in the layers before the neurons, and nothing else, are trained by representation
   misdirection: at one layer the activations of forgotten texts are pulled to `steering |h_0| u`,
   u a random unit vector, and those of retained texts are held to the untouched model's,

       E |h - steering |h_0| u|² + retain E |h - h_0|².

So what retained texts need of a neuron comes back, and what forgotten ones need does not. Neurons
above that layer get no gradient and stay silent.

As published are the scores of the paths (equations 4, 6 and Algorithm 1; gradients of the
log-probability at either door), four frames, five neurons, the union over the forget set, what is
trained, both losses (14 to 16), learning rate, batch and epochs. Other than there: rows with a
picture are scored through the language model too, since the vision tower is left alone; losses are
means over the layer's units and over texts without the picture's own tokens, as in `rmu.py`; the
code silences the first token's neurons through hooks, here the weights do, for all tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from transformers import PreTrainedModel

from excise.methods.fit_defaults import filled, require_floats, without_adapter
from excise.methods.method import Material, Method
from excise.methods.rmu import Texts, activations
from excise.records.errors import InputError
from excise.training.answers import Answers
from excise.training.fit import FitSettings
from excise.training.neuron_paths import influential
from excise.training.processes import world
from excise.training.reference import untouched
from excise.training.selection import Selection
from excise.training.trainer import Loss
from excise.vlm.decoder_blocks import decoder_blocks
from excise.vlm.feed_forward import FeedForward, feed_forwards
from excise.vlm.placement import quantised
from excise.vlm.rows import rows_from_records
from excise.vlm.tokens import image_id
from excise.vlm.wrapping import unwrapped
from excise.weights.edit import Branch, EditSpec
from excise.weights.sparse import compact

PUBLISHED = {"lr": 5e-4, "batch": 6, "epochs": 1.0}


class MIPEditor(Method):
    """`mip_editor`: silences influential neurons and retrains their rows by misdirection."""

    name: ClassVar[str] = "mip_editor"
    kind: ClassVar[str] = "loss and edit"
    needs: ClassVar[tuple[str, ...]] = ("few", "reference", "gradients", "activations")
    leaves: ClassVar[tuple[str, ...]] = ("edit",)
    reference: ClassVar[str] = "Li et al., MIP-Editor (arXiv 2511.06793)"

    topk: int = Field(5, ge=1)
    """Neurons of each block for each row."""
    frames: int = Field(4, ge=1)
    """Places at which gradients are taken on the way from silence."""
    steering: float = Field(5.0, gt=0)
    """The length that activations are pulled to, in lengths of their own. The paper gives none; 5
    is in a line of the code that is switched off there, for a constant length of 10."""
    retain: float = Field(1.0, ge=0)
    layer: int | None = Field(None, ge=0)
    """Counted from 0, the lowest; a fifth of the way up if not given (7 of 36)."""
    fit: FitSettings = FitSettings(**PUBLISHED)

    @field_validator("fit")
    @classmethod
    def _published(cls, fit: FitSettings) -> FitSettings:
        return filled(without_adapter(fit), **PUBLISHED)

    def run(self, material: Material) -> EditSpec:
        vlm = material.vlm
        require_floats(self.name, quantised(vlm.model))
        loss = self.bound(material)
        blocks = feed_forwards(vlm.model, vlm.parts)
        forget = rows_from_records(material.data, material.forget, role="forget")
        keep = rows_from_records(material.data, material.few, role="keep")
        paths = world().from_main(
            lambda: influential(
                vlm, forget, [b.down for b in blocks], best=self.topk, frames=self.frames
            )
        )
        chosen = [torch.unique(torch.cat(each)) for each in zip(*paths, strict=True)]
        material.notes["neurons_edited"] = sum(len(neurons) for neurons in chosen)
        material.fit(
            "forgetting", [*forget, *keep], self.fit, mix=True, loss=loss,
            entries=silenced(vlm.model, blocks, chosen),
            identity=self.name + self.model_dump_json(),
        )  # fmt: skip
        return EditSpec(criterion="none", branches=(Branch(adapter="forgetting"),))

    def bound(self, material: Material) -> Loss:
        """The misdirection at the chosen layer; InputError if the model has no such layer."""
        vlm = material.vlm
        blocks = decoder_blocks(vlm.model, vlm.parts)
        layer = len(blocks) * 7 // 36 if self.layer is None else self.layer
        if layer >= len(blocks):
            raise InputError(
                f"mip_editor: option layer={layer}: expected at most {len(blocks) - 1}"
            )
        picture = image_id(vlm.processor, vlm.model)

        def loss(model: PreTrainedModel, batch: Mapping[str, Any]) -> Tensor:
            block = unwrapped(model).get_submodule(blocks[layer])
            now = activations(model, block, batch)
            with untouched(model):
                then = activations(model, block, batch)
            aim = self.steering * then.norm(dim=-1, keepdim=True)
            aim = aim * direction(now.shape[-1], material.seed).to(now.device)
            answers, texts = Answers(batch), Texts(batch, picture)
            forget = texts.means((now - aim).square().mean(-1))
            apart = texts.means((now - then).square().mean(-1))
            kept = answers.mean_of_answers(apart, "keep")
            return answers.mean_of_answers(forget, "forget") + self.retain * kept

        return loss


def direction(size: int, seed: int) -> Tensor:
    """u, (size,), uniform on the unit sphere; the same for the same seed."""
    drawn = torch.randn(size, generator=torch.Generator().manual_seed(seed))
    return nn.functional.normalize(drawn, dim=0)


def silenced(
    model: PreTrainedModel, blocks: Sequence[FeedForward], chosen: Sequence[Tensor]
) -> Selection:
    """The rows before the chosen neurons of each block, to train from where the neurons are zero.

    Of a gate and the layer that is multiplied with it the latter starts from zero: with both at
    zero neither would get a gradient.
    """
    index: dict[str, Tensor] = {}
    start: dict[str, Tensor] = {}
    for block, neurons in zip(blocks, chosen, strict=True):
        gated = [name for name in block.up if "gate" not in name.rpartition(".")[2]] or [*block.up]
        for name in block.up:
            weight = model.get_parameter(f"{name}.weight").detach()
            rows = block.rows(model, name, neurons)
            width = weight.shape[1]
            places = rows[:, None] * width + torch.arange(width)
            value = torch.zeros(len(rows), width)
            silent = rows >= weight.shape[0] - block.neurons  # of a fused pair the second half
            if name == gated[-1]:
                value[silent] = -weight[rows[silent].to(weight.device)].float().cpu()
            index[name] = compact(places.view(-1), weight.numel())
            start[name] = value.view(-1)
    return Selection(index, start)
