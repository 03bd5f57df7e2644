"""A model's health over its batches as inline SVG: one small panel a figure, all on one x axis.

Hand-made like the report's plots: it takes its colours from the page, follows dark mode, needs no
script, and has the table beside it for whoever cannot see it. Shares of what is kept are drawn near
the top of their scale, where a budget is lost or held, and never over less than `SMALLEST_SPAN`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from excise.desk.console.labels import FIGURES
from excise.report.figures import Figure, figure, percent

WIDTH, HEIGHT = 360.0, 190.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 12.0, 12.0, 28.0
SMALLEST_SPAN = 0.2
PANELS = 8
FIRST = (
    "kept.memory",
    "kept.understanding.retain",
    "kept.understanding.unseen",
    "leak.any",
    "earlier.back",
    "memory.forget",
    "leak.plain",
    "kept.captions",
    "kept.general",
)


@dataclass(frozen=True)
class Panel:
    title: str
    arrow: str
    svg: Markup


def panels(
    numbers: Sequence[int], figures: Sequence[Mapping[str, Any]], bounds: Mapping[str, float]
) -> list[Panel]:
    """A panel for each of the chief figures that was measured.

    Args:
        numbers: of the batches, rising.
        figures: of each batch, flat.
        bounds: the budget by figure: below it a rebuild is due.
    """
    known = [name for name in FIRST if any(figure(f.get(name)) for f in figures)]
    more = sorted({n for f in figures for n in f if n in FIGURES and n not in known})
    drawn = []
    for name in [*known, *more][:PANELS]:
        title, arrow = FIGURES[name]
        values = [(n, figure(f.get(name))) for n, f in zip(numbers, figures, strict=True)]
        points = [(n, value) for n, value in values if value is not None]
        if points:
            drawn.append(Panel(title, arrow, _draw(title, points, bounds.get(name))))
    return drawn


def scale(values: Sequence[float]) -> tuple[float, float]:
    """Lowest and highest tick, in steps of a tenth, that hold all values; never too close."""
    low = math.floor(min(values) * 10 + 1e-9) / 10
    high = math.ceil(max(values) * 10 - 1e-9) / 10
    if high - low < SMALLEST_SPAN:
        low, high = (0.0, SMALLEST_SPAN) if low < SMALLEST_SPAN else (high - SMALLEST_SPAN, high)
    return low, high


def _draw(title: str, points: Sequence[tuple[int, Figure]], bound: float | None) -> Markup:
    banded = all(v.low is not None and v.high is not None for _, v in points)
    reach = [w for _, v in points for w in (v.mean, v.low, v.high) if w is not None]
    low, high = scale([*reach, *([] if bound is None else [bound])])
    first, last = points[0][0], points[-1][0]
    wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(number: float) -> float:
        return LEFT + wide * ((number - first) / (last - first) if last > first else 0.5)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - tall * (value - low) / (high - low)

    def across(value: float, style: str) -> str:
        ends = f'x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"'
        return f'<line class="{style}" {ends}/>'

    def words(text: object, at_x: float, at_y: float, anchor: str) -> str:
        place = f'x="{at_x:.1f}" y="{at_y:.1f}" text-anchor="{anchor}"'
        return f'<text class="tick" {place}>{escape(text)}</text>'

    parts = []
    for tick in (low, (low + high) / 2, high):
        parts += [across(tick, "grid"), words(percent(tick), LEFT - 6, y(tick) + 4, "end")]
    parts += [words(n, x(n), HEIGHT - 8, "middle") for n in sorted({first, last})]
    if bound is not None:
        parts.append(across(bound, "bound"))
    if banded and len(points) > 1:
        over = [f"{x(n):.1f},{y(v.high or 0):.1f}" for n, v in points]
        under = [f"{x(n):.1f},{y(v.low or 0):.1f}" for n, v in reversed(points)]
        parts.append(f'<polygon class="band" points="{" ".join(over + under)}"/>')
    line = " ".join(f"{x(n):.1f},{y(v.mean):.1f}" for n, v in points)
    parts.append(f'<polyline class="curve" points="{line}"/>')
    parts += [
        f'<circle class="mark" cx="{x(n):.1f}" cy="{y(v.mean):.1f}" r="3"/>' for n, v in points
    ]
    ends = f"from {percent(points[0][1].mean)} to {percent(points[-1][1].mean)}"
    said = escape(f"{title}: {ends} over {len(points)} batches; the table has every value")
    view = f'viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="{said}"'
    return Markup(f'<svg class="plot" {view}>{"".join(parts)}</svg>')
