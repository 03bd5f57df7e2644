"""MMUnlearner: gradient ascent on the forget set, but only where nothing retained is at stake.

Before training it is asked of every entry of the weights how much the forget set and the retained
records have to do with it, by the diagonal Fisher information (mean squared gradients at the
untouched model). The ascent may change an entry only where

    m = (F_forget + eps) / (F_preserve + eps) >= threshold,

while the retained records' gradient changes all: `g = -m ∇L_f + ∇L_r`.

As published are mask, threshold, batches of two for the Fisher information, the weights themselves
being trained, and learning rate, batch and epochs. Other than there: one optimiser step takes both
gradients, where the code steps for each in turn; what is preserved are the `few` retained records
of either door, where the paper also preserves what is said of the forgotten people in text alone,
which is to be forgotten here; and the language model is trained, of whose parts the paper has one
mask each.

Cost: 20 bytes for each trained entry, and 1 for its mask: six times a bfloat16 model. `entries`
bounds it: of each matrix only that share is trained, the entries with the largest ratio, by the
retained gradient too. The Fisher information is taken for some matrices after the other (2 GiB at
a time), each time with a pass over all rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field, field_validator
from torch import Tensor
from transformers import PreTrainedModel

from excise.methods.fit_defaults import filled, require_floats, without_adapter
from excise.methods.method import Material, Method
from excise.records.errors import InputError
from excise.training.answers import Answers
from excise.training.fit import FitSettings
from excise.training.importance import in_groups, squared_gradients
from excise.training.loss import answer_logprobs
from excise.training.processes import world
from excise.training.selection import SelectedWeights, Selection
from excise.vlm.parts import linear_targets
from excise.vlm.placement import quantised
from excise.vlm.rows import rows_from_records
from excise.weights.edit import Branch, EditSpec
from excise.weights.sparse import compact

EPS = 1e-15
AT_ONCE = 1 << 28
"""Entries of weights whose Fisher information is held together, twice in float32."""
FISHER_ROWS = 2
PUBLISHED = {"lr": 1e-5, "batch": 4, "epochs": 1.0}


class MMUnlearner(Method):
    """`mmunlearner`: `-forget ∇L_f` at the masked entries and `∇L_r` at all that are trained."""

    name: ClassVar[str] = "mmunlearner"
    kind: ClassVar[str] = "loss and edit"
    needs: ClassVar[tuple[str, ...]] = ("few", "gradients")
    leaves: ClassVar[tuple[str, ...]] = ("edit",)
    reference: ClassVar[str] = "Huo et al., MMUnlearner (arXiv 2502.11051)"

    threshold: float = Field(1.0, gt=0)
    forget: float = Field(1.0, gt=0)
    """Weight of the ascent."""
    entries: float = Field(1.0, gt=0, le=1)
    """Share of each matrix that is trained at all; as published, and costly, all of it."""
    fit: FitSettings = FitSettings(**PUBLISHED)

    @field_validator("fit")
    @classmethod
    def _published(cls, fit: FitSettings) -> FitSettings:
        return filled(without_adapter(fit), **PUBLISHED)

    def run(self, material: Material) -> EditSpec:
        require_floats(self.name, quantised(material.vlm.model))
        chosen, masks = world().from_main(lambda: self._chosen(material))
        forget = rows_from_records(material.data, material.forget, role="forget")
        keep = rows_from_records(material.data, material.few, role="keep")
        material.fit(
            "forgetting", [*forget, *keep], self.fit, mix=True,
            loss=lambda model, batch: self.loss(model, batch, masks),
            entries=Selection(chosen), identity=self.name + self.model_dump_json(),
        )  # fmt: skip
        return EditSpec(criterion="none", branches=(Branch(adapter="forgetting"),))

    def loss(
        self, model: PreTrainedModel, batch: Mapping[str, Any], masks: Mapping[str, Tensor]
    ) -> Tensor:
        """`L_r - forget L_f`, with a gradient that has the second part only where masked.

        The trainer goes backward once, so the masked gradient is taken here, and put in as that of
        a sum which is zero by its value.

        Args:
            model: with the trained entries (`SelectedWeights`).
            masks: (n,) bool by module, of the entries in their order.
        """
        selected = next(m for m in model.modules() if isinstance(m, SelectedWeights))
        answers, logprobs = Answers(batch), answer_logprobs(model, batch)
        ascent = self.forget * answers.mean(logprobs, "forget")
        keep = -answers.mean(logprobs, "keep")
        values = [*selected.values]
        grads = torch.autograd.grad(ascent, values, retain_graph=True, allow_unused=True)
        pushed = ascent.new_zeros(())
        for name, value, grad in zip(selected.names, values, grads, strict=True):
            if grad is not None:
                pushed = pushed + (value * grad * masks[name].to(grad.device)).sum()
        return keep + ascent.detach() + (pushed - pushed.detach())

    def _chosen(self, material: Material) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Which entries are trained, and which of them the ascent may change, by module."""
        vlm = material.vlm
        forget, keep = (
            rows_from_records(material.data, records) for records in (material.forget, material.few)
        )
        targets = linear_targets(vlm.model, vlm.parts)
        sizes = {name: vlm.model.get_parameter(f"{name}.weight").numel() for name in targets}
        chosen: dict[str, Tensor] = {}
        masks: dict[str, Tensor] = {}
        for group in in_groups(sizes, AT_ONCE):
            ours = squared_gradients(vlm, forget, group, FISHER_ROWS)
            theirs = squared_gradients(vlm, keep, group, FISHER_ROWS)
            for name in group:
                ratio = ours.pop(name).add_(EPS).div_(theirs.pop(name).add_(EPS)).view(-1)
                chosen[name] = largest(ratio, self.entries)
                masks[name] = ratio[chosen[name].long()] >= self.threshold
            material.progress("weighing entries", len(chosen), len(targets))
        masked = sum(int(mask.sum()) for mask in masks.values())
        if not masked:
            raise InputError(f"mmunlearner: option threshold={self.threshold:g}: masks every entry")
        material.notes["share_masked_in"] = round(masked / sum(sizes.values()), 4)
        return chosen, masks


def largest(values: Tensor, share: float) -> Tensor:
    """The rising places of the largest share of (n,) values, of one at least."""
    count = max(1, int(share * len(values)))
    if count == len(values):
        return compact(torch.arange(count), len(values))
    return compact(values.topk(count).indices.sort().values, len(values))
