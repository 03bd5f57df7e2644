from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from excise.evaluate.boxes import Box, box_iou, parse_box
from excise.evaluate.registry import METRICS
from excise.records.errors import InputError
from excise.records.record import Record

SIDE = st.integers(0, 20)
BOX = st.tuples(SIDE, SIDE, SIDE, SIDE)


@given(BOX, BOX)
@settings(max_examples=100)
def test_iou_equals_counting_cells(a: Box, b: Box) -> None:
    def cells(box: Box) -> set[tuple[int, int]]:
        x1, y1, x2, y2 = map(int, box)
        return {(x, y) for x in range(x1, x2) for y in range(y1, y2)}

    union = cells(a) | cells(b)
    expected = 1.0 if a == b else len(cells(a) & cells(b)) / len(union) if union else 0.0
    assert box_iou(a, b) == pytest.approx(expected)
    assert box_iou(a, b) == box_iou(b, a)


@pytest.mark.parametrize(
    "text",
    [
        "[12, 30, 41, 58]",
        "[12,30,41,58].",
        "It is at [12 30 41 58]",
        "12, 30, 41, 58",
        "(12;30;41;58)",
        "[12, 30, 41, 58",
    ],
)
def test_a_box_is_found_in_text(text: str) -> None:
    assert parse_box(text) == (12, 30, 41, 58)


@pytest.mark.parametrize(
    "text", ["", "Riga", "[12, 30, 41]", "48,300", "1 2 3 4 5", "[1, 2, 3, 4, 5]"]
)
def test_anything_else_is_no_box(text: str) -> None:
    assert parse_box(text) is None


def test_an_answer_without_a_box_scores_zero(make: Callable[..., Record]) -> None:
    record = make("[12, 30, 41, 58]", kind="general", task="grounding")
    score = METRICS["iou"].prepare([record])
    assert score(record, "[12, 30, 41, 58]") == 1.0
    assert score(record, "I do not know") == score(record, "[41, 58, 12, 30]") == 0.0


def test_a_reference_without_a_box_is_the_users_mistake(make: Callable[..., Record]) -> None:
    record = make("top left", kind="general", task="grounding", id="g1")
    with pytest.raises(InputError, match=r'record "g1", field answer: no box'):
        METRICS["iou"].prepare([record])
