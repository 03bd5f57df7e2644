"""The curve of a finished run: the same adapters under other dials, without training.

SMFA's dial is k. Where an edit adds up weighted branches it is their strength, or a factor on all
their weights if these differ or TIES merges them. A method that leaves neither has no curve.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from excise.bench.scoring import Each, Scoring, columned, scored_records
from excise.evaluate.evaluate import ask
from excise.evaluate.scoring import score_each
from excise.methods.material import PRIVATE
from excise.records.data import Data
from excise.vlm.load import VLM
from excise.weights.edit import EditSpec
from excise.weights.run import Run

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
K = (0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 16.0, 32.0, 64.0)
FACTORS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
ON_THE_CURVE = (*PRIVATE, "image_understanding")


@dataclass(frozen=True)
class Dial:
    """A dial's name, where it stands, and where it can be put."""

    name: str
    at: float | None
    places: tuple[float, ...]

    @classmethod
    def of(cls, edit: EditSpec) -> Dial | None:
        """The dial of an edit, if it has one."""
        if edit.criterion in ("both", "magnitude"):
            stands = {branch.k for branch in edit.branches}
            return cls("k", stands.pop() if len(stands) == 1 else None, K)
        weights = {abs(branch.weight) for branch in edit.branches}
        if edit.combine == "sum" and len(weights) == 1:
            return cls("strength", weights.pop(), STRENGTHS)
        if edit.combine in ("sum", "ties"):
            return cls("weight", 1.0, FACTORS)
        return None

    def turned(self, run: Run, place: float) -> Run:
        """The run with its dial there."""
        if self.name == "k":
            return run.turned(k=place)
        if self.name == "strength":
            return run.turned(strength=place)
        branches = tuple(
            b.model_copy(update={"weight": b.weight * place}) for b in run.edit.branches
        )
        return replace(run, edit=run.edit.model_copy(update={"branches": branches}))


def curve(vlm: VLM, data: Data, run: Run, scoring: Scoring) -> dict[str, Any] | None:
    """The dial's name, where it stands, and the scores at each place; None without a dial."""
    dial = Dial.of(run.edit)
    if dial is None:
        return None
    points = [{"at": at, "each": each} for at, each in _points(vlm, data, run, dial, scoring)]
    return {"name": dial.name, "at": dial.at, "points": points}


def _points(
    vlm: VLM, data: Data, run: Run, dial: Dial, scoring: Scoring
) -> Iterator[tuple[float, Each]]:
    records = [
        record
        for record in scored_records(data, scoring.curve, scoring.seed)
        if record.kind in ON_THE_CURVE
    ]
    held = run.dial(vlm.device)
    for place in dial.places:
        with dial.turned(held, place).applied(vlm):
            scores = score_each(records, ask(vlm, data, records))
        yield place, columned(data, records, scores, ("rouge_l",))
