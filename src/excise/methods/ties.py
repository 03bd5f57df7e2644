"""TIES: several things learnt of the forget set, merged without their disputes, and subtracted.

Each door to the memory is a task of its own: one adapter learns the forgotten questions with a
picture, another those without, from their true answers. Of each change the largest entries are kept
(trim), each entry gets the sign that the kept ones give together (elect), those of the other sign
are left out, and the rest are averaged (merge). The result is put on with a negative weight. Single
entries that only one fit happened to use, and entries over which they quarrel, so do no harm.

As published are trim (to the largest `density`), elect and merge, as in PEFT. The tasks are our
choice: the paper merges skills to have them all, here the merged skill is taken away, as its task
vectors allow. Where the data has one door only, what is left is the trimming.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from excise.methods.method import Material, Method
from excise.training.fit import FitSettings
from excise.vlm.rows import rows_from_records
from excise.weights.edit import Branch, EditSpec


class Ties(Method):
    """`ties`: minus `scale` times the TIES merge of what was learnt at either door."""

    name: ClassVar[str] = "ties"
    kind: ClassVar[str] = "edit"
    needs: ClassVar[tuple[str, ...]] = ("memorised",)
    leaves: ClassVar[tuple[str, ...]] = ("adapter", "edit")
    reference: ClassVar[str] = "Yadav et al., TIES-Merging (arXiv 2306.01708)"

    scale: float = Field(1.0, gt=0, allow_inf_nan=False, le=1e6)
    density: float = Field(0.2, gt=0, le=1)
    """Share of the entries of each matrix that trimming keeps; the paper's 20 %."""
    fit: FitSettings = FitSettings()

    def run(self, material: Material) -> EditSpec:
        doors = {
            "memorised-image": [r for r in material.forget if r.image is not None],
            "memorised-text": [r for r in material.forget if r.image is None],
        }
        doors = {name: records for name, records in doors.items() if records}
        for name, records in doors.items():
            rows = rows_from_records(material.data, records, role="forget")
            material.fit(name, rows, self.fit)
        return EditSpec(
            criterion="none",
            branches=tuple(Branch(adapter=name, weight=-self.scale) for name in doors),
            combine="ties",
            density=self.density,
        )
