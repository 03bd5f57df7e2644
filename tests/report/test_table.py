from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from excise.report.figures import figure, number, percent
from excise.report.rows import every_metric, groups
from excise.report.table import markdown_table, terminal_table

Report = dict[str, Any]


def printed(report: Report, width: int = 80) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(terminal_table(report))
    return capture.get()


def test_four_models_fit_into_eighty_characters_uncut(report: Report) -> None:
    text = printed(report)
    assert "…" not in text
    assert all(len(line.rstrip()) <= 80 for line in text.splitlines())
    assert "image memory ↓      0.93 .90–.96" in text


def test_every_row_has_a_figure_and_every_figure_a_row(report: Report) -> None:
    found = {(g.title, r.label): r for g in groups(report) for r in g.rows}
    assert found["Forgotten people", "image memory"].better == "lower"
    assert found["Forgotten people", "understanding"].better == "higher"
    assert found["People kept", "image memory"].better == "higher"
    assert [c.mean for c in found["People kept", "image memory"].cells if c] == [
        0.92, 0.7, 0.3, 0.92,
    ]  # fmt: skip
    assert ("General skills", "boxes, IoU") in found
    assert ("Needless refusals", "of what is seen") in found
    assert not any(label == "meaningful" for _, label in found)  # null in every model
    every = {(g.title, r.label) for g in every_metric(report) for r in g.rows}
    assert ("Forgotten people: image memory", "exact answer") in every


def test_over_refusal_may_be_split_by_where_it_occurs(report: Report) -> None:
    for model in report["models"]:
        whole = model["metrics"]["over_refusal"]
        model["metrics"]["over_refusal"] = {"unseen_people": whole, "understanding": whole}
    rows = {r.label for g in groups(report) for r in g.rows if g.title == "Needless refusals"}
    assert rows == {"unseen people", "understanding"}


def test_a_model_without_a_figure_gets_a_dash(report: Report) -> None:
    del report["models"][1]["metrics"]["splits"]["forget"]
    assert "| image memory ↓ | 0.93 (0.90–0.96) | – | 0.00 (0.00–0.03) |" in markdown_table(report)
    assert "–" in printed(report)


def test_markdown_has_one_cell_per_column_in_each_line(report: Report) -> None:
    report["models"][0]["label"] = "a | b"
    lines = markdown_table(report).strip().splitlines()
    assert {line.replace("\\|", "").count("|") for line in lines} == {6}


@pytest.mark.parametrize(
    ("value", "text"), [(0.925, "0.93"), (-0.001, "0.00"), (-0.25, "−0.25"), (7.02, "7.02")]
)
def test_numbers_have_two_decimals_and_no_negative_zero(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.61, "61"), (0.4, "40"), (0.034, "3.4"), (0.0004, "0.04"), (0, "0")]
)
def test_small_shares_keep_two_significant_digits(share: float, text: str) -> None:
    assert percent(share) == f"{text}\u00a0%"


@pytest.mark.parametrize("value", [None, "x", True, float("nan"), {"mean": None}, {}, []])
def test_what_is_no_figure_counts_as_missing(value: object) -> None:
    assert figure(value) is None
