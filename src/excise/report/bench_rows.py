"""The rows of the bench's tables as they are written: figures, intervals, shares, and the cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from excise.report.figures import MISSING, Figure, figure, number, percent
from excise.report.page import written
from excise.report.rows import ARROW

OUTCOMES = ("told", "refused", "otherwise")


def table_of(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Heads and cells; columns that nobody has a figure for are left out."""
    shown = [c for c in columns if any(figure(row["figures"][c["key"]]) for row in rows)]
    groups: list[dict[str, Any]] = []
    for column in shown:
        if not groups or groups[-1]["name"] != column["group"]:
            groups.append({"name": column["group"], "span": 0})
        groups[-1]["span"] += 1
    return {
        "groups": groups,
        "columns": [
            {"label": c["label"], "arrow": ARROW[c["better"]], "better": c["better"]} for c in shown
        ],
        "rows": [
            {
                "name": row["label"],
                "key": row["key"],
                "cells": [_cell(row, c) for c in shown],
            }
            for row in rows
        ],
    }


def _cell(row: Mapping[str, Any], column: Mapping[str, Any]) -> dict[str, str]:
    """Mean, interval, and the share of the original's where more is better."""
    found, share = figure(row["figures"][column["key"]]), figure(row["shares"][column["key"]])
    if found is None:
        return {"mean": MISSING, "interval": "", "share": ""}
    digits = column["digits"]
    kept = share if column["better"] == "higher" and row["key"] != "original" else None
    return {
        "mean": number(found.mean, digits),
        "interval": _interval(found, digits),
        "share": "" if kept is None else percent(kept.mean),
    }


def _interval(found: Figure, digits: int) -> str:
    if found.low is None or found.high is None:
        return ""
    digits = min(digits, 2)
    return f"{number(found.low, digits)}–{number(found.high, digits)}"


def cost_of(row: Mapping[str, Any]) -> dict[str, Any]:
    forgotten = row["outcomes"]["forget"]
    options = [
        ", ".join(f"{name} {written(value)}" for name, value in chosen.items())
        for chosen in row["chosen"].values()
    ]
    return {
        "name": row["label"],
        "key": row["key"],
        "balance": number(row["balance"], 3) if row["seconds"] else MISSING,
        "outcomes": [(name, forgotten[name]) for name in OUTCOMES] if forgotten else [],
        "seconds": _spread(row["seconds"]),
        "search": _spread(row["search_seconds"]),
        "steps": _spread(row["steps"]),
        "memory": _spread(row["peak_memory_mib"]),
        "gpu": _spread(row["peak_gpu_mib"]),
        "touched": percent(row["share_touched"]["mean"]) if row["share_touched"] else MISSING,
        "chosen": " / ".join(dict.fromkeys(text for text in options if text)),
        "warnings": row["warnings"],
    }


def _spread(value: Mapping[str, float] | None) -> str:
    """Mean over seeds."""
    return MISSING if not value else f"{value['mean']:,.0f}".replace(",", "\u202f")
