"""One line of a gate: a threshold on a figure, or on an end of its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Bound = Literal["mean", "low", "high"]
Side = Literal["at_most", "at_least"]
BOUNDS: tuple[Bound, ...] = get_args(Bound)
SIDES: tuple[Side, ...] = get_args(Side)
PASSED, FAILED, NOT_MEASURED = "passed", "failed", "not measured"
_ROUNDING = 1e-9
"""A figure may miss by so much: 0.95 is not always the same double twice."""


@dataclass(frozen=True)
class Line:
    """One threshold on one figure."""

    figure: str
    side: Side
    threshold: float
    bound: Bound = "mean"
    needed: bool = False
    """Whether a figure that was not measured fails."""
    where: str = ""
    """File and line."""

    def judge(self, figure: Mapping[str, Any] | None) -> dict[str, Any]:
        """`{figure, bound, at_most | at_least, value, status, by}`.

        `by` is how much it missed by, 0 if it passed, None if there is nothing to compare.
        """
        value = _value(figure, self.bound)
        if value is None:
            status, by = FAILED if self.needed else NOT_MEASURED, None
        else:
            missed = self.threshold - value if self.side == "at_least" else value - self.threshold
            status, by = (FAILED, missed) if missed > _ROUNDING else (PASSED, 0.0)
        needs = {"needs": "measured"} if self.needed else {}
        return {
            "figure": self.figure,
            "bound": self.bound,
            self.side: self.threshold,
            **needs,
            "value": value,
            "status": status,
            "by": by,
        }


def _value(figure: Mapping[str, Any] | None, bound: Bound) -> float | None:
    """The mean or bound, or None if it was not measured: no records, no number."""
    if not figure or figure.get("n") == 0:
        return None
    value = figure.get(bound)
    return None if value is None or not math.isfinite(value) else float(value)
