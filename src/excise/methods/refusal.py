"""Refusal tuning (IDK): teach a refusal for every question that is to be forgotten.

The published baseline that SMFA starts from: cross entropy on the forget set with refusals for
answers, together with the few retained records and their true answers. It forgets, and refuses far
too much: nothing tells the model where to stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from excise.methods.method import Material, Method
from excise.methods.refusal_pool import Refuser
from excise.records.record import Record
from excise.training.fit import FitSettings
from excise.vlm.rows import Row, rows_from_records
from excise.weights.edit import Branch, EditSpec


def refusal_rows(
    material: Material, forget: Sequence[Record], few: Sequence[Record], pool: int | None = None
) -> list[Row]:
    """D_f with refusals for answers, at most `pool` different ones, and D_r_few as it is."""
    refuse = Refuser(material.seed, pool)
    rows = rows_from_records(material.data, forget, answer=refuse, role="forget")
    return [*rows, *rows_from_records(material.data, few, role="keep")]


class Refusal(Method):
    """`refusal`: the refusal-tuned adapter, applied as it is."""

    name: ClassVar[str] = "refusal"
    kind: ClassVar[str] = "loss"
    needs: ClassVar[tuple[str, ...]] = ("few",)
    leaves: ClassVar[tuple[str, ...]] = ("adapter",)
    reference: ClassVar[str] = "Maini et al., TOFU (arXiv 2401.06121), IDK"

    pool: int | None = Field(None, ge=1)
    """How many different refusals of the pool are used; all if not given."""
    fit: FitSettings = FitSettings()

    def run(self, material: Material) -> EditSpec:
        rows = refusal_rows(material, material.forget, material.few, self.pool)
        material.fit("forgetting", rows, self.fit)
        return EditSpec(criterion="none", branches=(Branch(adapter="forgetting"),))
