"""Methods that are one fit: an adapter trained with a loss of their own, applied as it is.

Each step has forget rows, and rows of the few retained records if the method wants them (`needs`);
the loss has a term for each, a mean over that role's own tokens or answers. A method without
retained rows has forget rows alone in its steps.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor
from transformers import PreTrainedModel

from excise.methods.method import Material, Method
from excise.training.fit import FitSettings
from excise.training.reference import Kept
from excise.training.trainer import Loss
from excise.vlm.rows import Row, rows_from_records
from excise.weights.edit import Branch, EditSpec


class ByFit(Method):
    """A method whose work is one fit; a subclass adds its settings and `bound`."""

    kind: ClassVar[str] = "loss"
    leaves: ClassVar[tuple[str, ...]] = ("adapter",)

    shares: ClassVar[bool | tuple[int, ...]] = True
    """How a batch is shared out among the roles, in the order in which `rows` brings them up."""

    fit: FitSettings = FitSettings()

    @abstractmethod
    def bound(self, material: Material) -> Loss:
        """The loss for one run: of the model, its adapter on, and a batch of `rows`.

        Called once, before training, so a setting that does not go with the model is found here.
        """

    def rows(self, material: Material) -> list[Row]:
        """What is trained on: the forget set with its true answers, and the few retained."""
        forget = rows_from_records(material.data, material.forget, role="forget")
        return [*forget, *rows_from_records(material.data, material.few, role="keep")]

    def targets(self, material: Material) -> Sequence[str] | None:
        """Which modules are adapted; every linear layer of the language model if None."""
        return None

    def run(self, material: Material) -> EditSpec:
        material.fit(
            "forgetting", self.rows(material), self.fit, mix=self.shares,
            loss=self.bound(material), targets=self.targets(material),
            identity=self.name + self.model_dump_json(),
        )  # fmt: skip
        return EditSpec(criterion="none", branches=(Branch(adapter="forgetting"),))


class ByLoss(ByFit):
    """A method whose whole work is `loss`; a subclass adds its settings and that."""

    @abstractmethod
    def loss(self, model: PreTrainedModel, batch: Mapping[str, Any], kept: Kept) -> Tensor:
        """A scalar, from `Answers(batch)`; `kept` remembers what the untouched model said.

        Args:
            model: with the adapter in training on.
            batch: forget turns of role "forget", retained ones of role "keep".
        """

    def bound(self, material: Material) -> Loss:
        kept = Kept()
        return lambda model, batch: self.loss(model, batch, kept)
