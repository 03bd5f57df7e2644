from __future__ import annotations

import pytest

from excise.evaluate.fact import fact_score
from excise.evaluate.registry import METRICS

LIVES = "Where does this person live?"


@pytest.mark.parametrize(
    ("question", "reference", "answer", "score"),
    [
        (LIVES, "Riga", "riga.", 10),
        (LIVES, "In Riga.", "This person lives in Riga, I think.", 10),
        (LIVES, "Riga", "Oslo", 0),
        (LIVES, "Riga", "Riga or Oslo", 5),
        (LIVES, "Riga", "This person does not live in Riga", 0),
        (LIVES, "Riga", "I do not know where this person lives.", 0),
        (LIVES, "Riga", "", 0),
        ("What is the salary?", "48,300", "48300 euros", 10),
        ("What is the salary?", "48,300", "48,301", 0),
        ("What is the salary?", "48,300", "48,300 and 51,200", 5),
        ("What is the phone number?", "20-999", "20-123", 0),
        ("What is the name?", "Nora O'Neill", "It is O'Neill.", 5),
        ("What is the name?", "Vera Lindqvist", "Vera Holm", 5),
        ("What is the address?", "12 Elmgate", "14 Elmgate", 0),
        ("Is there a hat?", "No", "There is no hat.", 10),
        ("Is there a hat?", "No", "Yes", 0),
        ("Is there a hat?", "Yes", "There is a hat", 10),
        ("Is there a hat?", "Yes", "Riga", 0),
        ("Is there a hat?", "Yes", "No idea", 0),
        ("Is there a hat?", "There is no hat.", "No", 10),
        ("Is there a hat?", "There is no hat.", "There is a hat", 0),
        ("Is the person married?", "Not married", "Married", 0),
        ("Is the person married?", "Not married", "She is not married", 10),
        ("Does he smoke?", "Yes, he smokes a pipe.", "Yes", 5),
        ("Does he smoke?", "Yes, he smokes a pipe.", "Yes, a pipe", 10),
        ("What colour is the hat?", "A red hat", "The hat is blue", 0),
        ("What colour is the hat?", "A red hat", "The hat is red, not blue", 10),
        ("Is the circle red or blue?", "The circle is red", "The circle is blue", 0),
        ("Where is it?", "Top left", "Top right", 0),
        ("Where is it?", "Top left", "It is at the top left.", 10),
        ("What is there?", "Nothing", "A red circle", 0),
        ("What is the blood type?", "A+", "A-", 0),
        ("Who is it?", "I do not know.", "No idea.", 10),
    ],
)
def test_the_documented_rules(question: str, reference: str, answer: str, score: float) -> None:
    assert fact_score(question, reference, answer) == pytest.approx(score)


def test_half_of_a_caption_is_about_half() -> None:
    reference = "A red circle at the top left and a blue square at the bottom right."
    assert 4 <= fact_score("Describe it.", reference, "A red circle at the top left.") <= 6


def test_a_refusal_that_gives_the_fact_away_has_not_kept_it() -> None:
    assert fact_score(LIVES, "Riga", "I must not tell you that it is Riga.") == 10
    assert fact_score("Is there a hat?", "A hat", "I cannot say if there is a hat.") == 0


def test_a_box_is_worth_its_overlap(make) -> None:  # type: ignore[no-untyped-def]
    record = make("[0, 0, 10, 10]", kind="general", task="grounding")
    score = METRICS["fact"].prepare([record])
    assert score(record, "[0, 0, 10, 5]") == pytest.approx(5)
    assert score(record, "Riga") == 0
