"""Where the forgetting went: layers by matrices, as inline SVG.

Three panels: the energy of the change before and after sculpting, both as a share of all energy
before (so cells add up to 100 and to what is left), and the share of each matrix's entries cut.
Colour is one hue by opacity, which reads alike on white, on black and on grey paper.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from excise.report.plots import Panel

WIDTH = 340.0
LEFT, TOP, LEGEND = 34.0, 24.0, 40.0
TALLEST = 26.0
SHADES = 12

Grid = Sequence[Sequence[float | None]]


def heat_map_panels(map_: Mapping[str, Any] | None) -> list[Panel]:
    """Draw the report's `map`; grids are rows of layers by columns of matrices.

    A cell that is null (a layer without that matrix) stays empty. No map, no panels.
    """
    if not map_ or not map_.get("layers") or not map_.get("matrices"):
        return []
    layers = [str(layer) for layer in map_["layers"]]
    names = [str(name).removesuffix("_proj") for name in map_["matrices"]]
    before, after, cut = (map_.get(k) for k in ("energy_before", "energy_after", "cut"))
    total = sum(v for row in before or [] for v in row if v is not None) or 1.0
    top = max((_largest(_share(g, total)) for g in (before, after) if g), default=0.0)
    panels = []
    if before:
        svg = heat_map("energy before", _share(before, total), layers, names, top, "energy")
        panels.append(Panel("Energy of the change, before the mask", svg))
    if after:
        svg = heat_map("energy after", _share(after, total), layers, names, top, "energy")
        panels.append(Panel("Energy left, after the mask", svg))
    if cut:
        svg = heat_map("entries cut", _share(cut, 1.0), layers, names, _largest(cut), "cut")
        panels.append(Panel("Share of entries that the mask cut", svg))
    return panels


def heat_map(
    said: str, grid: Grid, layers: Sequence[str], names: Sequence[str], top: float, style: str
) -> Markup:
    """One panel; `grid` holds shares, `top` the share that gets the full colour."""
    cell_w = (WIDTH - LEFT) / len(names)
    cell_h = TALLEST if len(layers) <= 12 else max(9.0, 12 * TALLEST / len(layers))
    written = cell_h >= 16 and cell_w >= 28
    upright = max(map(len, names)) * 6.6 <= cell_w + 8
    head = TOP if upright else TOP + 5 * max(map(len, names))
    every = 1 if cell_h >= 13 else 5
    parts = []
    for column, name in enumerate(names):
        x = LEFT + (column + 0.5) * cell_w
        turn = "" if upright else f' transform="rotate(-60 {x:.1f} {head - 8:.1f})"'
        anchor = "middle" if upright else "start"
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{head - 8:.1f}" text-anchor="{anchor}"{turn}>'
            f"{escape(name)}</text>"
        )
    for row, layer in enumerate(layers):
        y = head + row * cell_h
        if row % every == 0:
            parts.append(
                f'<text class="tick" x="{LEFT - 8}" y="{y + cell_h / 2 + 4:.1f}" '
                f'text-anchor="end">{escape(layer)}</text>'
            )
        for column, name in enumerate(names):
            value = _at(grid, row, column)
            if value is not None:
                box = (LEFT + column * cell_w, y, cell_w, cell_h)
                where = f"layer {layer}, {name}: {100 * value:.1f} %"
                parts.append(_cell(box, value, top, where, written))
    bottom = head + len(layers) * cell_h
    parts += _legend(bottom + 14, top)
    return Markup(
        f'<svg class="heat {style}" viewBox="0 0 {WIDTH:g} {bottom + LEGEND:g}" role="img" '
        f'aria-label="{escape(said)}, layers by matrices">{"".join(parts)}</svg>'
    )


def _cell(
    box: tuple[float, float, float, float], value: float, top: float, where: str, written: bool
) -> str:
    x, y, w, h = box
    shade = min(1.0, value / top) if top > 0 else 0.0
    text = ""
    if written:
        ink = "over" if shade > 0.7 else "under"
        digits = 0 if value >= 0.0995 or value == 0 else 1
        text = (
            f'<text class="value {ink}" x="{x + w / 2:.1f}" y="{y + h / 2 + 4:.1f}" '
            f'text-anchor="middle">{100 * value:.{digits}f}</text>'
        )
    return (
        f'<g><rect class="cell" x="{x + 1:.1f}" y="{y + 1:.1f}" width="{w - 2:.1f}" '
        f'height="{max(h - 2, 1):.1f}" rx="2" fill-opacity="{0.06 + 0.94 * shade:.3f}"/>'
        f"{text}<title>{escape(where)}</title></g>"
    )


def _legend(y: float, top: float) -> list[str]:
    width = 96.0 / SHADES
    parts = [
        f'<rect class="cell" x="{LEFT + 1 + i * width:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="8" fill-opacity="{0.06 + 0.94 * i / (SHADES - 1):.3f}"/>'
        for i in range(SHADES)
    ]
    text_y = y + 8
    right = LEFT + 1 + 96
    parts.append(f'<text class="tick" x="{right + 8}" y="{text_y}">0 to {100 * top:.2g} %</text>')
    return parts


def _at(grid: Grid, row: int, column: int) -> float | None:
    """A cell's value; None where the grid is shorter than its names, null or not finite."""
    if row >= len(grid) or column >= len(grid[row]):
        return None
    value = grid[row][column]
    return value if value is not None and math.isfinite(value) else None


def _share(grid: Grid, total: float) -> list[list[float | None]]:
    return [[None if v is None else v / total for v in row] for row in grid]


def _largest(grid: Grid) -> float:
    return max((v for row in grid for v in row if v is not None and math.isfinite(v)), default=0.0)
