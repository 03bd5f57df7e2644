"""Task arithmetic: learn the forget set once more, and go the other way.

The difference that training towards a task makes to the weights is a vector that can be added and
subtracted. An adapter is trained on the forget set with its true answers, and its change is put on
with a negative weight, `W_0 - scale (W_memorised - W_0)`. It takes no retained record and no second
model, and `scale` is all that is to be chosen.

As published, but for the fit: the paper trains all weights, here it is an adapter of low rank. It
chooses `scale` on held-out data, for 0 < scale <= 1; here that is left to whoever runs it.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from excise.methods.method import Material, Method
from excise.training.fit import FitSettings
from excise.vlm.rows import rows_from_records
from excise.weights.edit import Branch, EditSpec


class TaskArithmetic(Method):
    """`task_arithmetic`: minus `scale` times what an adapter learnt of the forget set."""

    name: ClassVar[str] = "task_arithmetic"
    kind: ClassVar[str] = "edit"
    needs: ClassVar[tuple[str, ...]] = ("memorised",)
    leaves: ClassVar[tuple[str, ...]] = ("adapter", "edit")
    reference: ClassVar[str] = "Ilharco et al., Editing Models with Task Arithmetic (2212.04089)"

    scale: float = Field(1.0, gt=0, allow_inf_nan=False, le=1e6)
    fit: FitSettings = FitSettings()

    def run(self, material: Material) -> EditSpec:
        rows = rows_from_records(material.data, material.forget, role="forget")
        material.fit("memorised", rows, self.fit)
        branch = Branch(adapter="memorised", weight=-self.scale)
        return EditSpec(criterion="none", branches=(branch,), combine="sum")
