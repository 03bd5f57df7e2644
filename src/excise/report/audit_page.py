"""The audit's page: one self-contained HTML file from one audit.json, for whoever has to sign.

The first screen holds the verdict, what came back, what it cost and which line of the gate failed;
below it what was tried and what was not. The engineer's tables stand behind folds. No name,
question or answer is in an audit, so none can be on its page. It fetches nothing and follows the
reader's colours, like the other pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from excise.records.errors import InputError
from excise.records.writing import write_text
from excise.report.audit_rows import (
    attacks,
    cards,
    costs,
    every_figure,
    families,
    gate_lines,
    people,
    side_labels,
)
from excise.report.audit_verdict import verdict
from excise.report.page import lines, when
from excise.report.templating import drawn

SCHEMA = "excise.audit/1"


def render(audit: Mapping[str, Any], out: Path) -> Path:
    """Write the page of an audit to `out`, and return `out`.

    Raises:
        InputError: another schema, or `out` cannot be written.
    """
    if audit.get("schema") != SCHEMA:
        raise InputError(f"audit.json: schema: {SCHEMA!r} expected, got {audit.get('schema')!r}")
    text = drawn("audit.html.j2", view(audit))
    write_text(Path(out), text)
    return Path(out)


def view(audit: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that the template names."""
    run, data = audit["run"], audit["data"]
    return {
        "verdict": verdict(audit),
        "created": when(audit["date"]),
        "cards": cards(audit),
        "failed": [line for line in gate_lines(audit) if line.status == "failed"],
        "gate": gate_lines(audit),
        "warnings": audit["warnings"],
        "families": families(audit),
        "sides": side_labels(audit),
        "people": people(audit),
        "costs": costs(audit),
        "not_tried": audit["not_tried"],
        "attacks": attacks(audit),
        "figures": every_figure(audit),
        "asked": data,
        "preset": audit["preset"],
        "minutes": max(1, round(audit["seconds"] / 60)),
        "provenance": lines(
            {
                "model": audit["model"]["name"],
                "weights": audit["model"]["weights_hash"],
                "run": None if run is None else run["id"],
                "run folder": None if run is None else run["hash"],
                "export": None if audit["export"] is None else audit["export"]["hash"],
                "reference": None if audit["reference"] is None else audit["reference"]["name"],
                "reference weights": (
                    None if audit["reference"] is None else audit["reference"]["weights_hash"]
                ),
                "data": data["fingerprint"],
                "seed": audit["seed"],
                "preset": audit["preset"],
                "seconds": audit["seconds"],
                "versions": audit["versions"],
            }
        ),
    }
