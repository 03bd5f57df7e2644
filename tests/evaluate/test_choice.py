"""Multiple choice: which option an answer names, and when it names none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from excise.evaluate import METRICS, score_answers
from excise.evaluate.choice import Options
from excise.records import InputError
from excise.records.record import Record

TEXTS = {"A": "nurse", "B": "harbour pilot", "C": "a baker", "D": "pilot"}


@pytest.fixture
def options() -> Options:
    return Options(TEXTS, "B", by_text=False)


@pytest.mark.parametrize(
    "answer", ["B", "b", " B.", "(B)", "B: harbour pilot", "Answer: B", "The answer is B.", "B\nA"]
)
def test_a_letter_that_stands_by_itself_is_the_choice(options: Options, answer: str) -> None:
    assert options.chosen(answer) == "B"


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("Harbour pilot.", None),  # "pilot" is in it as well: two options
        ("She is a nurse", "A"),
        ("A nurse", "A"),
        ("A baker", "C"),
        ("A person at sea", None),
        ("Because I do not know", None),
        ("E", None),
        ("", None),
        ("I am not able to help with that.", None),
    ],
)
def test_otherwise_the_only_option_that_the_answer_contains(
    options: Options, answer: str, letter: str | None
) -> None:
    assert options.chosen(answer) == letter


def test_an_option_is_chosen_by_its_text_where_the_benchmark_asks_for_it() -> None:
    options = Options({"A": "In Riga", "B": "In Oslo"}, "A", by_text=True)
    assert options.chosen("It is in Riga.") == "A"
    assert options.chosen("Oslo") == "B"  # the nearest, however far
    assert options.chosen("I am not able to help with that.") is None
    assert options.chosen(" ") is None


def asked(make: Callable[..., Record], **keys: Any) -> Record:
    given = {"choices": {"A": "Oslo", "B": "Riga"}, "letter": "B", **keys}
    return make("B", task="choice", **given)


def test_only_choice_records_have_the_metric_and_no_wording_metric(
    make: Callable[..., Record],
) -> None:
    records = [asked(make), asked(make), make("Riga")]
    scores = score_answers(records, ["B: Riga", "A", "Riga"], model="m", run=None)
    cell = scores["splits"]["forget"]["image_memory"]
    assert (cell["choice"]["mean"], cell["choice"]["n"]) == (0.5, 2)
    assert cell["exact"]["n"] == cell["rouge_l"]["n"] == 1


@pytest.mark.parametrize(
    ("keys", "field"),
    [
        ({"choices": None}, "choices"),
        ({"choices": {"A": "Oslo"}}, "choices"),
        ({"choices": {"A": "Oslo", "B": ""}}, "choices"),
        ({"letter": "C"}, "letter"),
        ({"answered_by": "voice"}, "answered_by"),
    ],
)
def test_a_record_without_fitting_options_is_told_before_any_answer(
    make: Callable[..., Record], keys: dict[str, Any], field: str
) -> None:
    with pytest.raises(InputError, match=f"field {field}: expected"):
        METRICS["choice"].prepare([asked(make, **keys)])
