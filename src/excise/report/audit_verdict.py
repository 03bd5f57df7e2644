"""The sentence at the top of an audit's page, and why.

It says what the gate said and never more: an audit is evidence, and a figure within its limits is
no proof that nothing is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from excise.report.figures import figure_at, percent

NOTHING_TO_FORGET = "the model did not know"
BROKEN = "the model is broken"
LIKENESS = ("forget_quality", "privleak", "membership.", "probability.", "truth_ratio.")
"""Figures that hold the model against one that never saw the data."""
HARM = ("kept.", "refusal.", "meaningful", "understanding.")


@dataclass(frozen=True)
class Verdict:
    """`tone` is passed, failed or moot: a colour, and a word for those who do not see it."""

    tone: str
    title: str
    sentence: str


def verdict(audit: Mapping[str, Any]) -> Verdict:
    """What to read first."""
    warnings = " ".join(audit["warnings"])
    failed = [line["figure"] for line in audit["gate"]["lines"] if line["status"] == "failed"]
    leaks = any(name.startswith("leak.") for name in failed)
    unlike = any(name.startswith(LIKENESS) for name in failed)
    harm = any(name.startswith(HARM) for name in failed)
    came_back = _came_back(audit)
    if NOTHING_TO_FORGET in warnings:
        return Verdict(
            "moot",
            "There was nothing to forget",
            "The model did not know these people's facts before, so this says nothing about a run.",
        )
    if BROKEN in warnings:
        return Verdict(
            "failed",
            "Not passed: the model is broken",
            "Its answers make no sense any more, and what a broken model does not tell is not "
            "forgotten.",
        )
    if audit["gate"]["passed"]:
        return Verdict("passed", "Passed: nothing came back above chance", came_back)
    if leaks and harm:
        return Verdict("failed", "Not passed: memories came back, and others were lost", came_back)
    if failed and all(name == "leak.relearning" or name.startswith(LIKENESS) for name in failed):
        how = "a little training brings it back" if leaks else "statistics still tell it apart"
        return Verdict("failed", f"Not passed: nothing is told, but {how}", came_back)
    if leaks:
        return Verdict("failed", "Not passed: memories came back", came_back)
    if unlike and not harm:
        return Verdict("failed", "Not passed: statistics still tell it apart", came_back)
    return Verdict("failed", "Not passed: the rest of the model was harmed", came_back)


def _came_back(audit: Mapping[str, Any]) -> str:
    raw, control = (
        figure_at(audit, "figures", "leak.any.raw"),
        figure_at(audit, "figures", "leak.control"),
    )
    tried = sum(1 for row in audit["attacks"] if row["sides"].get("after"))
    if raw is None:
        return ""
    attacks = "1 attack" if tried == 1 else f"{tried} attacks"
    words = f"{attacks} got {percent(raw.mean)} of the {audit['data']['records']} private"
    words += " questions answered"
    if control is None:
        return f"{words}; how often that happens by chance is not known."
    by_chance = f"on people whom the model never knew the same attacks hit {percent(control.mean)}"
    return f"{words}; {by_chance}."
