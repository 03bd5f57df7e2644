"""SMFA: a refusal-tuned adapter, sculpted against an anchor that was trained to retain.

1. The memory forgetting adapter: refusal tuning on the forget set and the few retained records.
2. The retaining anchor: the untouched model trained on the few retained records alone.
3. The mask and the sculpt (`weights/sculpt.py`): entries of the first that fight the second, and
   outweigh it by the dial k, are cut out.

Two adapters are trained, one after the other, on the same base; the edit itself trains nothing, so
k can be turned on a finished run. Source: arXiv 2511.20196 (ECCV 2026); the two separate branches,
averaged, are those of the authors' released code.
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from excise.methods.dial import choose_k
from excise.methods.method import Material, Method
from excise.methods.refusal import refusal_rows
from excise.training.fit import FitSettings
from excise.vlm.rows import rows_from_records
from excise.weights.edit import Branch, EditSpec
from excise.weights.sculpt import Criterion


class SMFA(Method):
    """`smfa`: Sculpt-Memory-Forgetting-Adapter.

    `branches="separate"` trains one forgetting adapter on questions with a picture (dial `k`) and
    one on questions without (dial `k_text`), each sculpted by itself; their mean is applied.
    `k="auto"` chooses the dial on a held-out part of what the method may see (`dial.py`).
    """

    name: ClassVar[str] = "smfa"
    kind: ClassVar[str] = "loss and edit"
    needs: ClassVar[tuple[str, ...]] = ("few",)
    leaves: ClassVar[tuple[str, ...]] = ("adapter", "anchor", "edit")
    reference: ClassVar[str] = "SMFA (arXiv 2511.20196)"

    k: float | Literal["auto"] = 5.0
    k_text: float = Field(10.0, ge=0, allow_inf_nan=False)
    criterion: Criterion = "both"
    branches: Literal["joint", "separate"] = "joint"
    pool: int | None = Field(None, ge=1)
    """How many different refusals of the pool are used; all if not given."""
    fit: FitSettings = FitSettings()
    anchor: FitSettings | None = None
    """Settings of the anchor's fit; those of `fit` if not given."""

    @field_validator("k")
    @classmethod
    def _dial(cls, k: float | Literal["auto"]) -> float | Literal["auto"]:
        if k != "auto" and not (math.isfinite(k) and k >= 0):
            raise ValueError("expected a number of 0 or more, or auto")
        return k

    @property
    def holds_out(self) -> bool:
        return self.k == "auto"

    def run(self, material: Material) -> EditSpec:
        if self.branches == "joint":
            parts = {"forgetting": (material.forget, material.few)}
        else:
            parts = {
                f"forgetting-{door}": (
                    [r for r in material.forget if (r.image is not None) == pictured],
                    [r for r in material.few if (r.image is not None) == pictured],
                )
                for door, pictured in (("image", True), ("text", False))
            }
            parts = {name: part for name, part in parts.items() if part[0]}
        for name, (forget, few) in parts.items():
            material.fit(name, refusal_rows(material, forget, few, self.pool), self.fit)
        retained = rows_from_records(material.data, material.few, role="keep")
        material.fit("anchor", retained, self.anchor or self.fit)

        turn = 5.0 if self.k == "auto" else float(self.k)
        dials = {name: self.k_text if name == "forgetting-text" else turn for name in parts}
        spec = EditSpec(
            criterion=self.criterion,
            branches=tuple(Branch(adapter=name, k=k) for name, k in dials.items()),
            anchor="anchor",
        )
        return choose_k(material, spec) if self.k == "auto" else spec
