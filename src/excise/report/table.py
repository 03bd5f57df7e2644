"""The report's table for a terminal (rich) and as Markdown.

Both show the rows of the page's main table; a figure that one model lacks is a dash.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from excise.report.figures import MISSING, Figure, number
from excise.report.rows import columns, groups

if TYPE_CHECKING:
    from rich.table import Table


def terminal_table(report: Mapping[str, Any]) -> Table:
    """The main table for a `rich` console; four models fit into 80 characters."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("ROUGE-L unless named", header_style="dim", no_wrap=True)
    for column in columns(report):
        table.add_column(column.label, header_style="bold", no_wrap=True)
    for place, group in enumerate(groups(report)):
        if place:
            table.add_row("")
        table.add_row(Text(group.title, style="bold"))
        for row in group.rows:
            cells = [
                Text.assemble(c.text, (f" {_tight(c)}", "dim")) if c else Text(MISSING)
                for c in row.cells
            ]
            table.add_row(Text(f" {row.label} {row.arrow}"), *cells)
    return table


def markdown_table(report: Mapping[str, Any]) -> str:
    """The main table as GitHub Markdown, intervals in brackets."""
    cols = columns(report)
    lines = [
        "| | " + " | ".join(_cell(c.label) for c in cols) + " |",
        "|---|" + "---:|" * len(cols),
    ]
    for group in groups(report):
        lines.append(f"| **{_cell(group.title)}** |" + " |" * len(cols))
        for row in group.rows:
            cells = [
                (f"{c.text} ({c.interval})" if c.interval else c.text) if c else MISSING
                for c in row.cells
            ]
            lines.append(f"| {_cell(row.label)} {row.arrow} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _tight(f: Figure) -> str:
    """An interval of at most eight characters, so that four models fit into a terminal."""
    if f.low is None or f.high is None:
        return ""
    digits = 2 if max(abs(f.low), abs(f.high)) < 1.995 else 1
    low, high = (number(v, digits) for v in (f.low, f.high))
    return "–".join(re.sub(r"^(−?)0\.", r"\1.", text) for text in (low, high))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
