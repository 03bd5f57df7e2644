"""The table as Markdown: for each ratio what is forgotten, what is kept, the cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from excise.bench.columns import COLUMNS, Column

MISSING = "–"
ARROW = {"lower": "↓", "higher": "↑"}
FIRST = ("Forgotten memory", "Retained memory", "True answer's probability")


def markdown(bench: Mapping[str, Any]) -> str:
    """The whole of `bench.md`."""
    first = [column for column in COLUMNS if column.group in FIRST]
    second = [column for column in COLUMNS if column.group not in FIRST]
    parts = [f"# {bench['title']}", bench["about"], bench["intervals"]]
    for table in bench["tables"]:
        parts.append(f"## {table['title']}")
        parts.append(_figures(table["rows"], first))
        parts.append(_figures(table["rows"], second))
        parts.append(_cost(table["rows"]))
        if table["failed"]:
            lines = [f"- {cell['label']}: {cell['why']}" for cell in table["failed"]]
            parts.append("Not made:\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _figures(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> str:
    """Means with intervals; columns that nobody has a figure for are left out."""
    shown = [c for c in columns if any(row["figures"][c.key] for row in rows)]
    heads = [f"{c.group}, {c.label} {ARROW[c.better]}" for c in shown]
    lines = [_line(["", *heads]), "|---|" + "---:|" * len(shown)]
    for row in rows:
        lines.append(_line([_name(row), *(figure(row["figures"][c.key], c.digits) for c in shown)]))
    return "\n".join(lines)


def _cost(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        _line(
            [
                "",
                "balance ↑",
                "seconds",
                "steps",
                "memory, MiB",
                "GPU, MiB",
                "weights touched",
                "chosen",
                "warnings",
            ]
        ),
        "|---|---:|---:|---:|---:|---:|---:|---|---|",
    ]
    for row in rows:
        numbers = [_spread(row[name]) for name in ("seconds", "steps")]
        memory = [_spread(row[name]) for name in ("peak_memory_mib", "peak_gpu_mib")]
        said = "; ".join(row["warnings"])
        made = row["seconds"] is not None
        balance = f"{row['balance']:.3f}" if made else MISSING
        touched = f"{row['share_touched']['mean']:.1%}" if made else MISSING
        lines.append(_line([_name(row), balance, *numbers, *memory, touched, chosen(row), said]))
    return "\n".join(lines)


def chosen(row: Mapping[str, Any]) -> str:
    """The settings that were preferred, once if all seeds preferred the same."""
    found = [
        ", ".join(f"{name} {value}" for name, value in options.items())
        for options in row["chosen"].values()
    ]
    return " / ".join(dict.fromkeys(text for text in found if text))


def figure(value: Mapping[str, Any] | None, digits: int) -> str:
    """`0.013 (0.000–0.041)`."""
    if value is None:
        return MISSING
    mean, low, high = (f"{value[name]:.{digits}f}" for name in ("mean", "low", "high"))
    return f"{mean} ({low}–{high})"


def _spread(value: Mapping[str, float] | None) -> str:
    return MISSING if value is None else f"{value['mean']:.0f}"


def _name(row: Mapping[str, Any]) -> str:
    return str(row["label"])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
