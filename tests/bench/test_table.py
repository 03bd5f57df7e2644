"""What a row says of harm, of nothing done, and of what became of the answers."""

from __future__ import annotations

from typing import Any

from excise.bench.scoring import Each
from excise.bench.table import row


def cell(memory: float, kept: float, seeing: float, **more: Any) -> dict[str, Any]:
    scores = [memory, memory, kept, seeing]
    each = Each(
        person=["a", "b", "c", "c"],
        split=["forget", "forget", "retain", "retain"],
        kind=["image_memory", "text_memory", "text_memory", "image_understanding"],
        scores={"rouge_l": list(scores), "exact": list(scores), "refusal": [0.0, 1.0, 0.0, 0.0]},
    )
    made = {
        "run": "runs/x", "warnings": [], "forgetting_seconds": 3.0, "trials": [], "steps": 2,
        "peak_memory_mib": 9, "peak_gpu_mib": None, "share_touched": 0.5, "options": {"lr": 1},
        "curve": None,
    }  # fmt: skip
    return {"each": each, **made, **more}


ORIGINAL = {0: {"each": cell(1, 1, 1)["each"]}, 1: {"each": cell(1, 1, 1)["each"]}}


def test_a_method_that_harms_the_understanding_says_in_how_many_runs() -> None:
    made = row("m", "m", {0: cell(0, 1, 0.95), 1: cell(0, 1, 0.85)}, ORIGINAL)
    assert made["warnings"] == ["understanding harmed (1 of 2 runs)"]


def test_a_method_that_does_nothing_says_so() -> None:
    made = row("m", "m", {0: cell(0.9, 1, 1), 1: cell(1, 1, 1)}, ORIGINAL)
    assert made["warnings"] == ["nothing forgotten"]
    assert made["balance"] < 0.2


def test_warnings_of_a_run_are_in_the_table_without_their_figures() -> None:
    said = "the model was harmed: memory of the few fell from ROUGE-L 0.94 to 0.02"
    made = row("m", "m", {0: cell(0, 1, 1, warnings=[said])}, ORIGINAL)
    assert made["warnings"] == ["memory of the few harmed"]


def test_a_perfect_method_has_no_warning_and_full_balance() -> None:
    made = row("m", "m", {0: cell(0, 1, 1)}, ORIGINAL)
    assert made["warnings"] == [] and made["balance"] == 1.0
    assert made["outcomes"]["forget"] == {"told": 0.0, "refused": 0.5, "otherwise": 0.5}


def test_the_original_is_not_warned_of() -> None:
    assert row("original", "original", ORIGINAL, ORIGINAL)["warnings"] == []
