"""Figures with their intervals, and how they are written on paper.

Every metric arrives as `{"mean", "low", "high", "n"}`; a bare number and a missing value are taken
too, so that a report with fewer parts still renders. A value that is not finite counts as missing:
a page that prints "nan" in a table helps nobody.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MISSING = "–"


@dataclass(frozen=True)
class Figure:
    """A mean, its 95 % interval and the number of answers behind it, each where known."""

    mean: float
    low: float | None = None
    high: float | None = None
    n: int | None = None

    @property
    def text(self) -> str:
        """The mean with two decimals and a true minus sign."""
        return number(self.mean)

    @property
    def interval(self) -> str:
        """The interval as "0.88–0.97"; empty where there is none."""
        if self.low is None or self.high is None:
            return ""
        dash = " to " if self.low < 0 else "–"
        return f"{number(self.low)}{dash}{number(self.high)}"


def number(value: float, digits: int = 2) -> str:
    """`value` with `digits` decimals; never "-0.00"."""
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        return text.removeprefix("-")
    return text.replace("-", "−")


def percent(share: float) -> str:
    """A share in [0, 1] as a percentage that keeps two significant digits when it is small."""
    value = 100 * share
    digits = 0 if value == 0 or abs(value) >= 10 else 1 if abs(value) >= 1 else 2
    return f"{number(value, digits)}\u00a0%"


def figure(value: Any) -> Figure | None:
    """Read a metric object or a bare number; None for whatever is missing or not finite."""
    if isinstance(value, Mapping):
        mean = _finite(value.get("mean"))
        n = value.get("n")
        if mean is None:
            return None
        low, high = _finite(value.get("low")), _finite(value.get("high"))
        return Figure(mean, low, high, n if isinstance(n, int) else None)
    mean = _finite(value)
    return None if mean is None else Figure(mean)


def figure_at(tree: Any, *path: str) -> Figure | None:
    """The figure that lies at `path` in nested mappings; None where the path ends early."""
    for key in path:
        if not isinstance(tree, Mapping):
            return None
        tree = tree.get(key)
    return figure(tree)


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None
