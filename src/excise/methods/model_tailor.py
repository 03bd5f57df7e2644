"""Model Tailor: only the entries of a refusal adapter that count go onto the weights, decorated.

Refusal tuning changes every entry of every matrix, and much of what it breaks it breaks for
nothing. So the tuned weights are gone through entry by entry: a tenth is kept, by its own size and
by what reverting it would cost (second order, from the inputs of the layer on the tuned questions),
the rest is reverted to the base's weight, and the kept ones make up for it (`weights/tailor.py`).

As published are the score, the share and the compensation. Other than there: the method was made to
keep a fine-tuned model from forgetting its old skills, and the new skill here is to refuse; an
adapter is tuned and not the whole model; every layer of the language model is tailored, where the
released code takes the upper twelve; and all Hessians are of the tuned model, where it feeds each
layer what the tailored ones below it make.

Cost: a refusal fit, then forward passes over its rows for each group of matrices whose (in, in)
Hessians are held together (1 GiB), and `in³` multiplications a matrix; 8 bytes for each kept entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from excise.methods.fit_defaults import require_floats
from excise.methods.method import Material, Method
from excise.methods.refusal import refusal_rows
from excise.training.fit import FitSettings
from excise.training.importance import in_groups, input_products
from excise.training.processes import world
from excise.vlm.placement import quantised
from excise.vlm.rows import Row
from excise.weights.delta import read_adapter
from excise.weights.edit import Branch, EditSpec
from excise.weights.run import Run
from excise.weights.sparse import Sparse, write_sparse
from excise.weights.tailor import tailored

AT_ONCE = 1 << 28
"""Entries of Hessians that are held together, in float32."""


class ModelTailor(Method):
    """`model_tailor`: `keep` of a refusal adapter's entries, the rest reverted and compensated."""

    name: ClassVar[str] = "model_tailor"
    kind: ClassVar[str] = "loss and edit"
    needs: ClassVar[tuple[str, ...]] = ("few", "activations")
    leaves: ClassVar[tuple[str, ...]] = ("adapter", "edit")
    reference: ClassVar[str] = "Zhu et al., Model Tailor (arXiv 2402.12048)"

    keep: float = Field(0.1, gt=0, le=1)
    mix: float = Field(0.5, ge=0, le=1)
    """Weight of an entry's own size in its score, against the cost of reverting it."""
    samples: int = Field(128, ge=1)
    """Rows that the Hessians are taken from, at most."""
    pool: int | None = Field(None, ge=1)
    """How many different refusals of the pool are used; all if not given."""
    fit: FitSettings = FitSettings()

    def run(self, material: Material) -> EditSpec:
        require_floats(self.name, quantised(material.vlm.model))
        rows = refusal_rows(material, material.forget, material.few, self.pool)
        material.fit("tuned", rows, self.fit)
        world().from_main(lambda: self._tailor(material, rows[: self.samples]))
        return EditSpec(criterion="none", branches=(Branch(adapter="forgetting"),))

    def _tailor(self, material: Material, rows: Sequence[Row]) -> None:
        vlm, changes = material.vlm, read_adapter(material.folder / "tuned")
        plain = EditSpec(criterion="none", branches=(Branch(adapter="tuned"),))
        tuned = Run(material.folder, {"base": {"weights_hash": vlm.weights_hash}}, plain)
        patch: dict[str, Sparse] = {}
        with tuned.applied(vlm):
            sizes = {name: change.shape[1] ** 2 for name, change in changes.items()}
            for group in in_groups(sizes, AT_ONCE):
                for module, hessian in input_products(vlm, rows, group).items():
                    made = tailored(changes[module].dense(), hessian, keep=self.keep, mix=self.mix)
                    patch[module] = Sparse.of(made)
                    material.progress("tailoring", len(patch), len(changes))
        write_sparse(material.folder / "forgetting", patch, vlm.name)
