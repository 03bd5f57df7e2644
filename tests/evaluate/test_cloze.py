"""Cloze and keywords: what the answer has to contain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from excise.evaluate import METRICS, score_answers
from excise.evaluate.cloze import cloze
from excise.records import InputError
from excise.records.record import Record


@pytest.mark.parametrize(
    ("answer", "score"), [("Riga", 1), ("she lives in RIGA.", 1), ("Rig", 0), ("", 0)]
)
def test_a_blank_is_filled_where_the_answer_contains_its_text(
    make: Callable[..., Record], answer: str, score: float
) -> None:
    assert cloze(make("Riga", task="cloze"), answer) == score


def test_cloze_counts_for_cloze_records_alone(make: Callable[..., Record]) -> None:
    records = [make("Riga", task="cloze"), make("Riga")]
    cell = score_answers(records, ["In Riga.", "Riga"], model="m", run=None)["splits"]["forget"]
    assert cell["image_memory"]["cloze"]["n"] == 1
    assert cell["image_memory"]["exact"]["n"] == 1


def test_keywords_are_the_share_that_the_answer_contains(make: Callable[..., Record]) -> None:
    records = [make("in riga since 1999", keywords=["Riga", "1999"]), make("Oslo")]
    scores = score_answers(records, ["In riga, I think.", "Oslo"], model="m", run=None)
    cell = scores["splits"]["forget"]["image_memory"]
    assert (cell["keywords"]["mean"], cell["keywords"]["n"]) == (0.5, 1)


@pytest.mark.parametrize("words", ["Riga", [], [1], [" "]])
def test_keywords_that_are_no_texts_are_told(make: Callable[..., Record], words: Any) -> None:
    with pytest.raises(InputError, match="field keywords: expected a list of texts"):
        METRICS["keywords"].prepare([make("Riga", keywords=words)])
