"""The plane of forgetting against keeping as inline SVG: a point a method, a curve a dial.

To the right more is forgotten, upwards more is kept, so the best is top right. Memory left of the
forgotten is drawn on a square-root scale: methods differ in the last hundredths. Names stand in a
margin beside the right edge, where the points crowd, each tied to its point by a line; so all are
named, however close they lie.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape

from excise.report.figures import Figure
from excise.report.plots import Axis, axis

WIDTH, HEIGHT, MARGIN = 520.0, 360.0, 132.0
LEFT, TOP, BOTTOM = 44.0, 14.0, 46.0
INSET = 12.0
SPAN = 0.3
LINE = 15.0  # between two names
X_TICKS = (1.0, 0.5, 0.25, 0.1, 0.05, 0.01, 0.0)


@dataclass(frozen=True)
class Spot:
    """A model in the plane: memory left of the forgotten (x), what is kept (y), and its dial.

    `style` is "method", "best" (no other forgets and keeps more), "warned", "original" or
    "reference".
    """

    name: str
    style: str
    x: Figure
    y: Figure
    curve: tuple[tuple[float, float], ...] = ()


def plane(title: str, spots: Sequence[Spot], tallest: int | None = None) -> Markup:
    """Draw the spots; `title` says what y is, for whoever cannot see it.

    Args:
        tallest: how many names the margin has room for, at least; so that panels side by side are
            of one height.
    """
    named = [spot for spot in spots if spot.style != "original"]
    height = max(HEIGHT, TOP + BOTTOM + LINE * (max(len(named), tallest or 0) + 1))
    right, bottom = WIDTH - MARGIN, height - BOTTOM
    kept = [*(s.y for s in spots), *(Figure(y) for s in spots for _, y in s.curve)]
    # With the best there is and some air below it, a loss within noise does not look like a cliff.
    y_axis = axis([*kept, Figure(1.0), Figure(1.0 - SPAN)], bottom - INSET, TOP + INSET)

    def across(value: float) -> float:
        place = 1.0 - math.sqrt(min(1.0, max(0.0, value)))
        return LEFT + INSET + place * (right - LEFT - 2 * INSET)

    parts = _frame(right, bottom, height, y_axis, across)
    for spot in spots:
        parts += _whiskers(spot, across, y_axis)
    for spot in spots:
        points = [(across(x), y_axis(y)) for x, y in spot.curve]
        if len(points) > 1:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            parts.append(f'<polyline class="curve {spot.style}" points="{path}"/>')
            parts += [
                f'<circle class="stop {spot.style}" cx="{x:.1f}" cy="{y:.1f}" r="2"/>'
                for x, y in points
            ]
    at = {spot: (across(spot.x.mean), y_axis(spot.y.mean)) for spot in spots}
    order = sorted(named, key=lambda spot: (at[spot][1], -at[spot][0]))
    for spot, y in zip(order, _spread([at[s][1] for s in order], TOP + 6, bottom), strict=True):
        parts += _tied(spot, at[spot], right + 18, y)
    parts += [_mark(spot, *at[spot]) for spot in sorted(spots, key=lambda s: s.style == "best")]
    for spot in spots:
        if spot.style == "original":
            x, y = at[spot]
            parts.append(
                f'<text class="name original" x="{x + 9:.1f}" y="{y + 15:.1f}">original</text>'
            )
    said = f"{title} against forgotten memory left: " + "; ".join(
        f"{s.name} {s.x.text}, {s.y.text}" for s in spots
    )
    return Markup(
        f'<svg class="plot plane" viewBox="0 0 {WIDTH:g} {height:g}" role="img" '
        f'aria-label="{escape(said)}">{"".join(parts)}</svg>'
    )


def front(points: Sequence[tuple[float, ...]]) -> list[bool]:
    """Which points no other beats: all coordinates are better when larger (Pareto)."""
    return [
        not any(
            all(o >= p for o, p in zip(other, point, strict=True)) and other != point
            for other in points
        )
        for point in points
    ]


def _spread(wanted: Sequence[float], top: float, bottom: float) -> list[float]:
    """Places in the same order at least LINE apart, each as near to where it is wanted as can be.

    Names that would cover each other are moved apart as a block around their common middle.
    """
    blocks: list[tuple[float, int]] = []  # top of the first name, names
    for y in wanted:
        blocks.append((y, 1))
        while len(blocks) > 1 and blocks[-2][0] + blocks[-2][1] * LINE > blocks[-1][0]:
            (above, n), (below, m) = blocks[-2:]
            middle = (n * above + m * (below - n * LINE)) / (n + m)
            blocks[-2:] = [(middle, n + m)]
        first, count = blocks[-1]
        blocks[-1] = (min(max(first, top), max(top, bottom - (count - 1) * LINE)), count)
    # A block that was pushed to an edge may have come upon its neighbour.
    places = [first + i * LINE for first, count in blocks for i in range(count)]
    for i, (one, other) in enumerate(pairwise(list(places))):
        places[i + 1] = max(other, places[i] + LINE, one + LINE)
    over = max(0.0, places[-1] - bottom) if places else 0.0
    return [max(top + i * LINE, place - over) for i, place in enumerate(places)]


def _frame(right: float, bottom: float, height: float, y_axis: Axis, across: object) -> list[str]:
    assert callable(across)
    parts = []
    for value in y_axis.ticks:
        y = y_axis(value)
        parts.append(_line(LEFT, y, right, y, "grid"))
        parts.append(
            f'<text class="tick" x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    for value in X_TICKS:
        x = across(value)
        parts.append(_line(x, bottom, x, bottom + 4, "axis"))
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{bottom + 17:.1f}" text-anchor="middle">'
            f"{value:g}</text>"
        )
    parts.append(_line(LEFT, bottom, right, bottom, "axis"))
    parts.append(
        f'<text class="axis-name" x="{LEFT}" y="{height - 8:.1f}">memory left of the forgotten'
        f'</text><text class="axis-name" x="{right}" y="{height - 8:.1f}" text-anchor="end">'
        "forgets more →</text>"
    )
    return parts


def _whiskers(spot: Spot, across: object, y_axis: Axis) -> list[str]:
    assert callable(across)
    x, y, parts = across(spot.x.mean), y_axis(spot.y.mean), []
    if spot.x.low is not None and spot.x.high is not None:
        parts.append(_line(across(spot.x.low), y, across(spot.x.high), y, "whisker"))
    if spot.y.low is not None and spot.y.high is not None:
        parts.append(_line(x, y_axis(spot.y.low), x, y_axis(spot.y.high), "whisker"))
    return parts


def _tied(spot: Spot, at: tuple[float, float], x: float, y: float) -> list[str]:
    return [
        _line(at[0], at[1], x - 4, y, f"leader {spot.style}"),
        f'<text class="name {spot.style}" x="{x:.1f}" y="{y + 4:.1f}">{escape(spot.name)}</text>',
    ]


def _mark(spot: Spot, x: float, y: float) -> str:
    title = f"<title>{escape(spot.name)}: {spot.x.text} forgotten, {spot.y.text} kept</title>"
    if spot.style == "reference":
        shape = f'<path d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z"/>'
    elif spot.style == "warned":
        shape = f'<path class="cross" d="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"/>'
    else:
        shape = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{5 if spot.style == "best" else 4}"/>'
    return f'<g class="mark {spot.style}">{shape}{title}</g>'


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
