"""The audit on a terminal: the verdict, what came back by attack, and the gate's lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def show_audit(audit: Mapping[str, Any]) -> None:
    """Print an audit (schema excise.audit/1)."""
    from excise.cli.tables import show
    from excise.report.audit_rows import families, gate_lines, side_labels
    from excise.report.audit_verdict import verdict
    from excise.report.figures import percent

    sides = side_labels(audit)
    rows = []
    for row in families(audit):
        cells = [
            "–" if figure is None else f"{percent(max(0.0, figure.mean))}"
            for figure in (row["sides"][side] for side in sides)
        ]
        chance = "–" if row["control"] is None else percent(row["control"].mean)
        rows.append([row["name"], row["asks"], *cells, chance])
    show(["attack", "asked", *sides.values(), "by chance"], rows)
    lines = [
        [line.figure, line.wanted, line.value, line.status, line.by] for line in gate_lines(audit)
    ]
    show(["gate", "wanted", "found", "", "off by"], lines, numbers_from=5)
    for warning in audit["warnings"]:
        print(f"warning: {warning}")
    said = verdict(audit)
    print(f"{said.title}. {said.sentence}")
