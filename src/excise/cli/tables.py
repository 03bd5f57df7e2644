"""Tables on the terminal, from the same JSON that the report is made of.

Rich draws them; on anything that is not a terminal they come out as plain text of fixed width.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def console() -> Console:
    """Stdout for rich; a pipe has no width of its own, and a guess of 80 would cut figures off."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 140, highlight=False)


def show(headings: Sequence[str], rows: Sequence[Sequence[str]], *, numbers_from: int = 1) -> None:
    """Print a table to stdout; columns from `numbers_from` on are aligned right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for position, heading in enumerate(headings):
        table.add_column(heading, justify="right" if position >= numbers_from else "left")
    for row in rows:
        table.add_row(*row)
    console().print(table)


def show_scores(metrics: Mapping[str, Any]) -> None:
    """A metrics JSON (schema excise.metrics/1): one row per split and kind, one column a metric."""
    groups = [
        (split, kind, scores)
        for split, kinds in metrics["splits"].items()
        for kind, scores in kinds.items()
        if scores
    ]
    names = list(dict.fromkeys(name for _, _, scores in groups for name in scores))
    rows = [
        [split, kind.replace("_", " "), *(_interval(scores.get(name)) for name in names)]
        for split, kind, scores in groups
    ]
    show(["split", "kind", *(name.replace("_", " ") for name in names)], rows, numbers_from=2)
    overall = [f"{name} {_interval(value)}" for name, value in metrics["overall"].items()]
    print("overall: " + ", ".join(overall))


def _interval(score: Mapping[str, Any] | float | None) -> str:
    """`0.02 [0.00, 0.05]`: mean and 95 % interval."""
    if not score:
        return "-"
    if not isinstance(score, Mapping):
        return f"{score:.2f}"
    if score.get("mean") is None:
        return "-"
    return f"{score['mean']:.2f} [{score['low']:.2f}, {score['high']:.2f}]"
