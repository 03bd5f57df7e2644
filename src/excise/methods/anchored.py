"""Anchored forgetting: refuse and unlearn what is to be forgotten, and hold everything else.

Three terms, each a mean over its own answer tokens:

- refuse: cross entropy of a refusal for every private question, on new views of the pictures.
- push: `-log(1 - p(y_t))` on the true answer's tokens, but for its end. A refusal hides an answer,
  and a prompt trick finds it again; this takes the answer away. Unlike gradient ascent it is
  bounded: a token that is unlikely already pushes no more.
- hold: `KL(p_0 ‖ p_θ)` on behaviour anchors (`anchors.py`), p_0 the untouched model: its own
  answers about unlabelled pictures, invented names and what can be seen on the forgotten people's
  pictures.

No retained label is needed; where there are some, they are anchors too. The dial is `strength`, the
weight of the adapter when it is applied: chosen on views and wordings that the fit did not see, and
turned afterwards without training (`excise sculpt RUN -o strength=1.2`).

Source: our own; what was tried and what it brought is in docs/method.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, field_serializer, field_validator
from torch import Tensor
from transformers import PreTrainedModel

from excise.methods.anchors import ROLE, behaviour_anchors
from excise.methods.by_loss import ByLoss
from excise.methods.forget_rows import forget_rows
from excise.methods.method import Material
from excise.methods.strength import choose_strength
from excise.records.data import Data
from excise.records.unlabelled import FOLDER, Unlabelled, read_unlabelled
from excise.training.answers import Answers
from excise.training.fit import FitSettings
from excise.training.reference import Kept, divergence
from excise.training.selection import Selection
from excise.vlm.rows import Row
from excise.weights.budget import select, within
from excise.weights.edit import Branch, EditSpec
from excise.weights.run import Run

ENTRY_RATE = 0.1
"""Learning rate of single entries beside that of a LoRA's factors, which multiply."""
SURE = 1 - 1e-4
"""What a probability is cut at in the push, whose gradient grows without bound towards 1."""


class Anchored(ByLoss):
    """`anchored`: refuse, push down, and hold to the untouched model's own behaviour."""

    name: ClassVar[str] = "anchored"
    needs: ClassVar[tuple[str, ...]] = ("reference",)
    takes: ClassVar[tuple[str, ...]] = ("few", "pictures")
    reference: ClassVar[str] = "excise, docs/method.md"
    shares: ClassVar[bool | tuple[int, ...]] = (1, 2)

    strength: Annotated[float, Field(ge=0, allow_inf_nan=False)] | Literal["auto"] = "auto"
    push: float = Field(0.5, ge=0)
    hold: float = Field(3.0, ge=0)
    first: float = Field(2.0, ge=0)
    """Weight of an answer's first token in the hold: there it turns to a refusal or does not."""
    pool: int = Field(8, ge=1)
    """How many different refusals are taught."""
    views: int = Field(3, ge=0)
    """New views of each forget picture."""
    pictures: Path | None = None
    """A folder of unlabelled pictures, with `names.txt` if names are to be of a kind; the data
    folder's own `anchors/` if not given."""
    anchor_pictures: int = Field(400, ge=0)
    anchor_names: int = Field(200, ge=0)
    budget: Annotated[float, Field(gt=0, le=1)] | None = None
    """The share of the weights' entries that may change ("1%"); all if not given. A second fit then
    trains those alone that the first one moved most."""
    fit: FitSettings = FitSettings(lr="auto", epochs=3.5, batch=15, dropout=0.0, warmup=0.05)

    @field_validator("budget", mode="before")
    @classmethod
    def _percent(cls, given: object) -> object:
        if isinstance(given, str) and given.strip().endswith("%"):
            try:
                return float(given.strip().removesuffix("%")) / 100
            except ValueError:
                return given
        return given

    @field_serializer("pictures")
    def _without_the_way(self, pictures: Path | None) -> str | None:
        return None if pictures is None else pictures.name  # runs travel, paths do not

    @property
    def holds_out(self) -> bool:
        return self.strength == "auto"

    def unlabelled(self, data: Data) -> Unlabelled:
        """What there is of pictures and names that nobody has said anything about."""
        folder = self.pictures or data.folder / FOLDER
        return read_unlabelled(folder, required=self.pictures is not None)

    def sees(self, data: Data) -> dict[str, str]:
        return {"unlabelled": self.unlabelled(data).fingerprint()}

    def rows(self, material: Material) -> list[Row]:
        """The forget set in both ways, and the anchors."""
        forget = forget_rows(material, views=self.views, pool=self.pool, answers=self.push > 0)
        with material.base():
            anchors = behaviour_anchors(
                material, self.unlabelled(material.data),
                pictures=self.anchor_pictures, names=self.anchor_names, own=self.views,
            )  # fmt: skip
        return [*forget, *anchors]

    def run(self, material: Material) -> EditSpec:
        rows = self.rows(material)
        spec = self._trained(material, rows, "forgetting")
        if self.budget is not None:
            info = {"base": {"weights_hash": material.vlm.weights_hash}}
            source = Run(material.folder, info, spec).source()
            places = select(source, spec, self.budget)
            start = {name: part.values for name, part in within(source, spec, places).items()}
            spec = self._trained(material, rows, "entries", Selection(places, start))
        if self.strength == "auto":
            return choose_strength(material, spec)
        return spec.turned(strength=self.strength)

    def _trained(
        self, material: Material, rows: list[Row], name: str, entries: Selection | None = None
    ) -> EditSpec:
        """One fit into a folder of that name, of an adapter or of single entries."""
        fit = self.fit
        if entries is not None:
            width = material.vlm.model.config.get_text_config().hidden_size
            fit = fit.model_copy(update={"lr": fit.rate(width) * ENTRY_RATE})
        kept = Kept()
        if material.upon is not None:  # else what it says is asked for as the fit goes
            with material.base():
                kept = Kept.of(material.vlm, rows, size=fit.batch)
        material.fit(
            name, rows, fit,
            loss=lambda model, batch: self.loss(model, batch, kept),
            mix=self.shares, entries=entries,
            identity=f"{self.name} {self.push} {self.hold} {self.first}",
        )  # fmt: skip
        return EditSpec(criterion="none", branches=(Branch(adapter=name),))

    def loss(self, model: PreTrainedModel, batch: Mapping[str, Any], kept: Kept) -> Tensor:
        """`-log p(refusal) + push * -log(1 - p(answer)) + hold * KL(p_0 ‖ p_θ)`, a scalar."""
        answers = Answers(batch)
        apart, logprobs = divergence(model, batch, kept)
        weight = torch.where(answers.first, self.first, 1.0).to(apart.device)
        unlearnt = -torch.log1p(-logprobs.exp().clamp(max=SURE))
        # That an answer ends is no secret: pushed too, others' answers go on into refusals.
        spread = answers.lengths / (answers.lengths - 1).clamp(min=1)
        spread = torch.where(answers.last, 0.0, spread[answers.index])
        unlearnt = unlearnt * spread.to(unlearnt)
        return (
            -answers.mean(logprobs, "refuse")
            + self.push * answers.mean(unlearnt, "forget")
            + self.hold * answers.mean(apart * weight, ROLE)
        )
