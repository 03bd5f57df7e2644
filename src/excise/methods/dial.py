"""Choose the dial on a held-out part of what the method may see, never on `retain` or `unseen`.

A smaller k cuts more and keeps more of everyone else, and at some point the memory comes back. So
the rule is: the smallest k of the grid at which the held-out forget records are remembered no more
than `TOLERANCE` above the uncut adapter: one or two in a hundred come back by chance. What is
remembered falls as k grows, within noise, so the grid is bisected: five scorings, not twenty.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from excise.evaluate.evaluate import ask
from excise.evaluate.scoring import METRICS
from excise.methods.method import Material
from excise.records.record import Record
from excise.weights.edit import EditSpec
from excise.weights.run import Run

GRID = (
    *(0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0),
    *(5.0, 6.0, 8.0, 10.0, 12.0, 16.0, 20.0, 24.0, 32.0, 48.0),
)
TOLERANCE = 0.02  # ROUGE-L


def choose_k(material: Material, spec: EditSpec) -> EditSpec:
    """`spec` with the chosen k in every branch; the curve goes to `material.notes["dial"]`."""
    records = [r for r in material.held_out if r.split == "forget"]
    few = [r for r in material.held_out if r.split == "few"]
    trained = not records
    if trained:  # no question about anybody is asked twice: nothing could be held out
        records = list(material.forget)
    info = {"base": {"weights_hash": material.vlm.weights_hash}}
    run = Run(material.folder, info, spec).dial(material.vlm.device)
    points: list[dict[str, Any]] = []

    def remembered(k: float | None) -> float:
        turned = run.turned(criterion="none") if k is None else run.turned(k=k)
        with turned.applied(material.vlm):
            point = {"k": k, "forget": _memory(material, records), "few": _memory(material, few)}
        points.append(point)
        material.progress("choosing k", len(points), 1 + len(GRID).bit_length())
        return point["forget"] or 0.0

    bound = remembered(None) + TOLERANCE
    low, high = 0, len(GRID) - 1  # the last k is taken if none smaller will do
    while low < high:
        middle = (low + high) // 2
        if remembered(GRID[middle]) <= bound:
            high = middle
        else:
            low = middle + 1
    chosen = GRID[low]
    material.progress("choosing k", 1, 1)
    material.notes["dial"] = {
        "rule": f"smallest that keeps forgotten memory within {TOLERANCE} of the uncut adapter",
        "metric": "rouge_l",
        "scored_on": "trained records (none could be held out)" if trained else "held-out records",
        "records": {"forget": len(records), "few": len(few)},
        "points": sorted(points, key=lambda p: (p["k"] is None, p["k"])),
        "k": chosen,
    }
    return spec.turned(k=chosen)


def _memory(material: Material, records: Sequence[Record]) -> float | None:
    """Mean ROUGE-L of the answers to `records`; None if there are none."""
    if not records:
        return None
    score = METRICS["rouge_l"].prepare(records)
    answers = ask(material.vlm, material.data, records)
    return fmean(score(record, said) for record, said in zip(records, answers, strict=True))
