"""The dial's curve as inline SVG: what is forgotten against what is kept, one point per k.

Two panels instead of two curves in one: points of neighbouring k lie close, and their labels would
cover each other. The panels share x; y fits each, but never spans less than SMALLEST_SPAN, so that
a loss within noise does not look like a cliff. Hand-made SVG takes its colours from the page, so it
follows dark mode and stays sharp on paper; it costs no heavy import and some kilobytes a panel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from markupsafe import Markup, escape

from excise.report.figures import Figure, figure
from excise.report.labels import Box, Label, Segment, place

WIDTH, HEIGHT = 420.0, 330.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 10.0, 10.0, 46.0
INSET = 12.0  # air between the frame and the outermost tick, so that no point sits on the frame
SMALLEST_SPAN = 0.3
SERIES = (("retain_memory", "Retained memory"), ("understanding", "Understanding"))
REFERENCES = {"before": "before", "refusal": "refusal tuning", "retrained": "retrained"}


@dataclass(frozen=True)
class Panel:
    """One picture with its title."""

    title: str
    svg: Markup


@dataclass(frozen=True)
class Point:
    """One place in a panel: forgotten memory on x, what is kept on y."""

    x: Figure
    y: Figure
    name: str
    style: str  # CSS class: "k", "chosen" or a reference's key


@dataclass(frozen=True)
class Axis:
    """A linear scale from values to pixels with round ticks."""

    ticks: tuple[float, ...]
    start: float
    end: float

    def __call__(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        return self.start + (value - low) / (high - low) * (self.end - self.start)


def dial_panels(dial: Mapping[str, Any] | None) -> list[Panel]:
    """The panels that the report's `dial` has figures for; none where it has no dial.

    Axes hold the report's own units, whiskers its 95 % intervals.
    """
    panels = {title: _points(dial or {}, key) for key, title in SERIES}
    panels = {title: points for title, points in panels.items() if _curve(points)}
    every = [p for points in panels.values() for p in points]
    if not every:
        return []
    x_axis = axis([p.x for p in every], LEFT + INSET, WIDTH - RIGHT - INSET)
    foot, head = HEIGHT - BOTTOM - INSET, TOP + INSET
    return [
        Panel(t, _draw(t, points, x_axis, axis([p.y for p in points], foot, head)))
        for t, points in panels.items()
    ]


def axis(figures: Sequence[Figure], start: float, end: float) -> Axis:
    """A scale with 4 to 8 round ticks that holds every figure and its interval."""
    values = [v for f in figures for v in (f.mean, f.low, f.high) if v is not None]
    low, high = min(values), max(values)
    if high - low < SMALLEST_SPAN:
        middle = min(max((low + high) / 2, SMALLEST_SPAN / 2), max(high, 1 - SMALLEST_SPAN / 2))
        low, high = middle - SMALLEST_SPAN / 2, middle + SMALLEST_SPAN / 2
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.999)
    first = math.floor(low / step + 1e-6)
    last = math.ceil(high / step - 1e-6)
    return Axis(tuple(round(i * step, 10) for i in range(first, last + 1)), start, end)


def _points(dial: Mapping[str, Any], key: str) -> list[Point]:
    chosen = dial.get("chosen_k")
    out = []
    for raw in sorted(dial.get("points") or [], key=lambda p: float(p["k"])):
        x, y = figure(raw.get("forget_memory")), figure(raw.get(key))
        if x and y:
            is_chosen = chosen is not None and math.isclose(raw["k"], chosen)
            out.append(Point(x, y, f"k={raw['k']:g}", "chosen" if is_chosen else "k"))
    for name, label in REFERENCES.items():
        raw = (dial.get("reference") or {}).get(name) or {}
        x, y = figure(raw.get("forget_memory")), figure(raw.get(key))
        if x and y:
            out.append(Point(x, y, label, name))
    return out


def _curve(points: Sequence[Point]) -> list[Point]:
    return [p for p in points if p.style in ("k", "chosen")]


def _draw(title: str, points: Sequence[Point], x_axis: Axis, y_axis: Axis) -> Markup:
    frame: Box = (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM)
    at = [(x_axis(p.x.mean), y_axis(p.y.mean)) for p in points]
    whiskers = [w for p in points for w in _whiskers(p, x_axis, y_axis)]
    line = [a for a, p in zip(at, points, strict=True) if p.style in ("k", "chosen")]
    curve: list[Segment] = [(*a, *b) for a, b in pairwise(line)]
    parts = _grid(frame, x_axis, y_axis)
    parts += [_line(w, "whisker") for w in whiskers]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in line)
    parts.append(f'<polyline class="curve" points="{path}"/>')
    # The chosen point is drawn last: nothing may lie over it.
    for (x, y), p in sorted(
        zip(at, points, strict=True), key=lambda pair: pair[1].style == "chosen"
    ):
        parts.append(_mark(x, y, p))
    labels = [
        Label(x, y, p.name, 12.5 if p.style == "chosen" else 12, must=p.style != "k")
        for (x, y), p in zip(at, points, strict=True)
    ]
    styles = {label: p.style for label, p in zip(labels, points, strict=True)}
    marks = [
        _around(x, y, 11 if p.style == "chosen" else 6)
        for (x, y), p in zip(at, points, strict=True)
    ]
    for placed in place(labels, frame, marks, curve, whiskers):
        left, top, right, bottom = placed.box
        if placed.far:
            near_x = min(max(placed.label.x, left), right)
            near_y = min(max(placed.label.y, top), bottom)
            parts.append(_line((placed.label.x, placed.label.y, near_x, near_y), "leader"))
        parts.append(
            f'<text class="name {styles[placed.label]}" x="{(left + right) / 2:.1f}" '
            f'y="{bottom - 2:.1f}" text-anchor="middle">{escape(placed.label.text)}</text>'
        )
    said = f"{title} against forgotten memory: " + "; ".join(
        f"{p.name} {p.x.text}, {p.y.text}" for p in points
    )
    return Markup(
        f'<svg class="plot" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" '
        f'aria-label="{escape(said)}">{"".join(parts)}</svg>'
    )


def _grid(frame: Box, x_axis: Axis, y_axis: Axis) -> list[str]:
    left, _, right, bottom = frame
    parts = []
    for value in y_axis.ticks:
        y = y_axis(value)
        parts.append(_line((left, y, right, y), "grid"))
        text = f"{value:g}"
        parts.append(
            f'<text class="tick" x="{left - 7}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
        )
    for value in x_axis.ticks:
        x = x_axis(value)
        parts.append(_line((x, bottom, x, bottom + 4), "axis"))
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">'
            f"{value:g}</text>"
        )
    parts.append(_line((left, bottom, right, bottom), "axis"))
    parts.append(
        f'<text class="axis-name" x="{left}" y="{HEIGHT - 8}">← forgets more</text>'
        f'<text class="axis-name" x="{right}" y="{HEIGHT - 8}" text-anchor="end">'
        "memory of the forgotten people</text>"
    )
    return parts


def _whiskers(p: Point, x_axis: Axis, y_axis: Axis) -> list[Segment]:
    x, y = x_axis(p.x.mean), y_axis(p.y.mean)
    out: list[Segment] = []
    if p.x.low is not None and p.x.high is not None:
        out.append((x_axis(p.x.low), y, x_axis(p.x.high), y))
    if p.y.low is not None and p.y.high is not None:
        out.append((x, y_axis(p.y.low), x, y_axis(p.y.high)))
    return out


def _mark(x: float, y: float, p: Point) -> str:
    title = f"<title>{escape(p.name)}: {p.x.text} forgotten people, {p.y.text} kept</title>"
    if p.style == "refusal":
        shape = f'<rect x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10"'
    elif p.style == "retrained":
        shape = f'<path d="M{x:.1f} {y - 6.5:.1f}l6.5 6.5l-6.5 6.5l-6.5 -6.5z"'
    else:
        radius = 6 if p.style == "chosen" else 4.5
        shape = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}"'
    ring = f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="10"/>' if p.style == "chosen" else ""
    return f'<g class="mark {p.style}">{ring}{shape}/>{title}</g>'


def _around(x: float, y: float, r: float) -> Box:
    return (x - r, y - r, x + r, y + r)


def _line(s: Segment, style: str) -> str:
    return (
        f'<line class="{style}" x1="{s[0]:.1f}" y1="{s[1]:.1f}" x2="{s[2]:.1f}" y2="{s[3]:.1f}"/>'
    )
