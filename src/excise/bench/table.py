"""From finished cells to the table: for each ratio a row a method, its figures over all seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from excise.bench.columns import COLUMNS, PLANE, mean_of, plain_mean, share_of
from excise.bench.scoring import Each
from excise.bench.trying import PARTS, balance
from excise.methods.checkup import LEFT
from excise.methods.material import PRIVATE

HARMED = 0.1  # share of the original's understanding
Cell = Mapping[str, Any]
Cells = Mapping[int, Cell]
"""Cells by seed."""


def row(key: str, label: str, cells: Cells, originals: Cells) -> dict[str, Any]:
    """One line of the table.

    Args:
        cells: of one method and one ratio; they may be fewer than the seeds asked for.
        originals: the untouched model's, at least of the same seeds.
    """
    eachs: list[Each] = [cell["each"] for cell in cells.values()]
    before: list[Each] = [originals[seed]["each"] for seed in cells]
    point = {name: mean_of(eachs, column) for name, column in PLANE.items()}
    then = {name: mean_of(before, column) for name, column in PLANE.items()}
    made = [cell for cell in cells.values() if "run" in cell]
    return {
        "key": key,
        "label": label,
        "seeds": list(cells),
        "figures": {column.key: mean_of(eachs, column) for column in COLUMNS},
        "shares": {column.key: share_of(eachs, before, column) for column in COLUMNS},
        "point": point,
        "balance": balance(*({part: _mean(of[part]) for part in PARTS} for of in (then, point))),
        "outcomes": {
            split: _outcomes(eachs, split) for split in ("forget", "retain")
        },
        "seconds": _spread([cell["forgetting_seconds"] for cell in made]),
        "search_seconds": _spread(
            [sum(t["seconds"] for t in cell["trials"]) for cell in made if cell["trials"]]
        ),
        "steps": _spread([cell["steps"] for cell in made]),
        "share_touched": _spread([cell["share_touched"] for cell in made]),
        "peak_memory_mib": _spread([cell["peak_memory_mib"] for cell in made]),
        "peak_gpu_mib": _spread([c["peak_gpu_mib"] for c in made if c["peak_gpu_mib"] is not None]),
        "warnings": _warnings(cells, originals),
        "chosen": {str(seed): cell["options"] for seed, cell in cells.items() if "run" in cell},
        "runs": {str(seed): cell["run"] for seed, cell in cells.items() if "run" in cell},
        "curve": _curve([cell["curve"] for cell in made]),
    }  # fmt: skip


def _mean(figure: Any) -> float | None:
    return None if figure is None else float(figure["mean"])


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    """Mean, smallest and largest over seeds."""
    if not values:
        return None
    return {"mean": fmean(values), "low": min(values), "high": max(values)}


def _outcomes(eachs: Sequence[Each], split: str) -> dict[str, float] | None:
    """What became of the private answers: the share still told, refused, and anything else."""
    told = refused = count = 0.0
    for each in eachs:
        exact, refusal = each["scores"].get("exact", []), each["scores"].get("refusal", [])
        for of, kind, right, no in zip(each["split"], each["kind"], exact, refusal, strict=True):
            if of == split and kind in PRIVATE and right is not None and no is not None:
                count += 1
                told += right
                refused += no * (1 - right)
    if not count:
        return None
    return {
        "told": told / count,
        "refused": refused / count,
        "otherwise": max(0.0, 1 - (told + refused) / count),
    }


def _warnings(cells: Cells, originals: Cells) -> list[str]:
    """What the runs said of themselves, and what their scores say: in how many of the runs."""
    said: dict[str, int] = {}
    for seed, cell in cells.items():
        if "run" not in cell:
            continue
        found = {_short(warning) for warning in cell["warnings"]}
        now, then = (
            {name: plain_mean([c["each"]], column) for name, column in PLANE.items()}
            for c in (cell, originals[seed])
        )
        if (then["understanding"] or 0) * (1 - HARMED) > (now["understanding"] or 0):
            found.add("understanding harmed")
        if then["forgotten"] and (now["forgotten"] or 0) > LEFT * then["forgotten"]:
            found.add("nothing forgotten")
        for warning in found:
            said[warning] = said.get(warning, 0) + 1
    runs = sum("run" in cell for cell in cells.values())
    return [w if n == runs else f"{w} ({n} of {runs} runs)" for w, n in sorted(said.items())]


def _short(warning: str) -> str:
    """A warning of `methods/checkup.py` without its figures."""
    for start, short in (
        ("nothing was forgotten", "nothing forgotten"),
        ("the model did not know", "data not known to begin with"),
        ("the model was harmed: understanding", "understanding harmed"),
        ("the model was harmed: memory of the few", "memory of the few harmed"),
    ):
        if warning.startswith(start):
            return short
    return warning.partition(":")[0].partition(";")[0]


def _curve(curves: Sequence[Any]) -> dict[str, Any] | None:
    """The dial's points over all seeds; None where a run has no dial."""
    if not curves or not all(curves):
        return None
    points = []
    for place in [point["at"] for point in curves[0]["points"]]:
        eachs = [p["each"] for curve in curves for p in curve["points"] if p["at"] == place]
        points.append({"at": place, **{n: mean_of(eachs, c) for n, c in PLANE.items()}})
    places = [curve["at"] for curve in curves]
    return {"name": curves[0]["name"], "at": places, "points": points}
