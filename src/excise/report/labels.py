"""Placing labels beside points so that they cover neither each other nor the drawing.

Each label tries a ring of places around its point and takes the one that covers least; a few
sweeps let early labels give way to later ones. A figure of twenty points costs some milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Box = tuple[float, float, float, float]  # left, top, right, bottom
Segment = tuple[float, float, float, float]  # x1, y1, x2, y2

CHARACTER = 0.58  # width of an average character of a system font, in ems
DISTANCES = (11.0, 17.0, 25.0, 36.0, 48.0)
ANGLES = 16


@dataclass(frozen=True)
class Label:
    """A text that wants to stand beside (x, y); `size` in pixels."""

    x: float
    y: float
    text: str
    size: float = 12.0
    must: bool = False  # kept even where every place is taken


@dataclass(frozen=True)
class Placed:
    """The label's box, and whether it stands so far off that it needs a line to its point."""

    label: Label
    box: Box
    far: bool


def place(
    labels: Sequence[Label],
    frame: Box,
    marks: Sequence[Box],
    lines: Sequence[Segment] = (),
    faint: Sequence[Segment] = (),
) -> list[Placed]:
    """Find a place for each label inside `frame`, clear of `marks` and, if possible, of `lines`.

    `marks` holds the box of each label's own point, in the same order. `faint` lines are avoided
    only where that costs little.

    A label that cannot stand clear of other labels is dropped unless it `must` stay: a number
    missing from a figure is in the table below it, an unreadable heap of numbers helps nobody.
    """
    chosen: dict[int, tuple[float, float, Box]] = {}
    order = sorted(range(len(labels)), key=lambda i: not labels[i].must)
    for _ in range(4):
        for i in order:
            others = [box for j, (_, _, box) in chosen.items() if j != i]
            strange = [mark for j, mark in enumerate(marks) if j != i]
            options = (
                (
                    distance / 10
                    + 100 * sum(_overlap(box, other) > 0 for other in others)
                    + 40 * sum(_overlap(box, mark) > 0 for mark in marks)
                    + 8 * sum(_apart(box, mark) < _apart(box, marks[i]) + 3 for mark in strange)
                    + 6 * sum(crosses(line, box) for line in lines)
                    + 1 * sum(crosses(line, box) for line in faint),
                    distance,
                    box,
                )
                for distance, box in _places(labels[i])
                if _inside(box, frame)
            )
            best = min(options, key=lambda o: o[0], default=None)
            if best is not None:
                chosen[i] = best
    kept: dict[int, Placed] = {}
    for i in order:
        if i in chosen:
            _, distance, box = chosen[i]
            if labels[i].must or not any(_overlap(box, p.box) for p in kept.values()):
                kept[i] = Placed(labels[i], box, distance > DISTANCES[1])
    return [kept[i] for i in sorted(kept)]


def _places(label: Label) -> list[tuple[float, Box]]:
    width, height = len(label.text) * CHARACTER * label.size, label.size
    out = []
    for distance in DISTANCES:
        for step in range(ANGLES):
            angle = 2 * math.pi * step / ANGLES
            cos, sin = math.cos(angle), math.sin(angle)
            # The label's nearest edge, not its centre, is `distance` away from the point.
            x = label.x + distance * cos + (width / 2) * cos
            y = label.y - distance * sin - (height / 2) * sin
            out.append((distance, (x - width / 2, y - height / 2, x + width / 2, y + height / 2)))
    return out


def _inside(box: Box, frame: Box) -> bool:
    return box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] and box[3] <= frame[3]


def _overlap(a: Box, b: Box, gap: float = 2.0) -> float:
    """Area that two boxes share, each label keeping `gap` pixels of air."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + gap
    height = min(a[3], b[3]) - max(a[1], b[1]) + gap
    return max(0.0, width) * max(0.0, height)


def _apart(a: Box, b: Box) -> float:
    """Distance between two boxes, 0 where they touch."""
    return math.hypot(
        max(0.0, a[0] - b[2], b[0] - a[2]),
        max(0.0, a[1] - b[3], b[1] - a[3]),
    )


def crosses(line: Segment, box: Box) -> bool:
    """Whether a segment passes through a box (Liang and Barsky's clipping)."""
    x1, y1, x2, y2 = line
    start, end = 0.0, 1.0
    for delta, low, high in (
        (x2 - x1, box[0] - x1, box[2] - x1),
        (y2 - y1, box[1] - y1, box[3] - y1),
    ):
        if delta == 0:
            if low > 0 or high < 0:
                return False
            continue
        near, far = sorted((low / delta, high / delta))
        start, end = max(start, near), min(end, far)
        if start > end:
            return False
    return True
