"""Methods that are a loss: an adapter trained with it, applied as it is.

Each step has forget rows, and rows of the few retained records if the method wants them (`needs`);
the loss has a term for each, a mean over that role's own tokens or answers.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor
from transformers import PreTrainedModel

from excise.methods.method import Material, Method
from excise.training.fit import FitSettings
from excise.training.reference import Kept
from excise.vlm.rows import Row, rows_from_records
from excise.weights.edit import Branch, EditSpec


class ByLoss(Method):
    """A method whose whole work is `loss`; a subclass adds its settings and that."""

    kind: ClassVar[str] = "loss"
    leaves: ClassVar[tuple[str, ...]] = ("adapter",)

    fit: FitSettings = FitSettings()

    @abstractmethod
    def loss(self, model: PreTrainedModel, batch: Mapping[str, Any], kept: Kept) -> Tensor:
        """A scalar, from `Answers(batch)`; `kept` remembers what the untouched model said.

        Args:
            model: with the adapter in training on.
            batch: forget turns of role "forget", retained ones of role "keep".
        """

    def rows(self, material: Material) -> list[Row]:
        """What is trained on: the forget set with its true answers, and the few retained."""
        forget = rows_from_records(material.data, material.forget, role="forget")
        return [*forget, *rows_from_records(material.data, material.few, role="keep")]

    def run(self, material: Material) -> EditSpec:
        kept = Kept()
        material.fit(
            "forgetting", self.rows(material), self.fit, mix=True,
            loss=lambda model, batch: self.loss(model, batch, kept),
            identity=self.name + self.model_dump_json(),
        )  # fmt: skip
        return EditSpec(criterion="none", branches=(Branch(adapter="forgetting"),))
