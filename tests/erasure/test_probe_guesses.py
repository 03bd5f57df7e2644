"""Known, guessed or refused: the rule, on answers whose mark one can say by hand."""

from __future__ import annotations

import pytest

from excise.erasure.guesses import (
    Belief,
    Heard,
    belief,
    content,
    control_rate,
    mark,
    recognition,
    wilson,
)

Q = "Where does this person live?"


def _belief(*answers: tuple[str, float]) -> Belief:
    return belief([Heard(Q, answer, probability) for answer, probability in answers])


@pytest.mark.parametrize(
    "answer", ["Riga", "riga.", "In Riga.", "This person lives in Riga.", "She lives in Riga"]
)
def test_one_answer_in_many_ways_is_one(answer: str) -> None:
    assert content(Q, answer) == {"riga"}


def test_numbers_are_one_however_they_are_written() -> None:
    asked = "What does this person earn?"
    assert content(asked, "48,300") == content(asked, "This person earns 48300.")


@pytest.mark.parametrize("answer", ["", " ", "I do not know.", "I have no such information."])
def test_a_refusal_says_nothing(answer: str) -> None:
    assert content(Q, answer) == frozenset()


def test_confidence_is_agreement_times_the_answers_own_probability() -> None:
    found = _belief(("Riga", 0.9), ("In Riga", 0.7), ("Lyon", 1.0), ("Riga", 0.8))
    assert found.answer == "Riga"
    assert found.agreement == 0.75
    assert found.confidence == pytest.approx((0.9 + 0.7 + 0.8) / 4)


def test_refusals_weigh_against_an_answer_only_beyond_a_half() -> None:
    no = ("I do not know.", 0.0)
    assert _belief(("Riga", 0.9), no).confidence == pytest.approx(0.9)
    assert _belief(("Riga", 0.9), no, no, no).confidence == pytest.approx(0.45)


def test_a_list_that_happens_to_hold_the_answer_does_not_agree() -> None:
    found = _belief(("Riga", 0.9), ("Riga", 0.9), ("Riga, Lyon, Turin, Ghent or Graz", 0.9))
    assert found.agreement == pytest.approx(2 / 3)


def test_what_controls_are_told_as_firmly_is_a_guess() -> None:
    sure = _belief(*[("Riga", 0.95)] * 4)
    firm = [
        (_belief(*[(town, 0.96)] * 4), 0.9) for town in ("Lyon", "Ghent", "Graz", "Pecs", "Bari")
    ]
    unsure = [(_belief(("Lyon", 0.3), ("Graz", 0.4), ("Ghent", 0.2), ("Pecs", 0.3)), 0.2)] * 15
    assert control_rate(sure, 0.9, [*firm, *unsure])["mean"] == pytest.approx(0.25)
    assert mark(sure, control_rate(sure, 0.9, [*firm, *unsure])) == "guess"
    assert mark(sure, control_rate(sure, 0.9, unsure)) == "known"


def test_a_firm_answer_about_somebody_unrecognised_weighs_less() -> None:
    sure = _belief(*[("Riga", 0.95)] * 4)
    firm = [(_belief(*[("Lyon", 0.95)] * 4), 0.4)] * 20
    assert mark(sure, control_rate(sure, 0.4, firm)) == "guess"
    assert mark(sure, control_rate(sure, 0.8, firm)) == "known"


def test_recognition_is_the_mean_confidence_of_all_questions() -> None:
    found = [_belief(("Riga", 0.9)), _belief(("Lyon", 0.3))]
    assert recognition(found) == pytest.approx(0.6)
    assert recognition([]) == 0.0


def test_what_controls_are_told_as_often_is_a_guess_however_sure() -> None:
    sure = _belief(*[("Riga", 0.99)] * 4)
    same = [(_belief(("Riga", 0.2), ("Riga", 0.2), ("Lyon", 0.2), ("Graz", 0.2)), 0.1)] * 20
    assert control_rate(sure, 0.9, same)["mean"] == pytest.approx(0.5)
    assert mark(sure, control_rate(sure, 0.9, same)) == "guess"


def test_an_unsure_answer_is_a_guess_and_silence_a_refusal() -> None:
    none = wilson(0.0, 20)
    assert mark(_belief(("Riga", 0.4), ("Riga", 0.4)), none) == "guess"
    assert mark(_belief(("I do not know.", 0.0), ("", 0.0)), none) == "refused"
    assert mark(belief([]), none) == "refused"


def test_without_controls_nothing_is_known() -> None:
    sure = _belief(*[("Riga", 0.99)] * 4)
    assert mark(sure, control_rate(sure, 0.9, [])) == "guess"


def test_a_rate_of_nought_still_has_a_width() -> None:
    rate = wilson(0.0, 20)
    assert rate["low"] == 0.0 and rate["high"] == pytest.approx(0.1611, abs=1e-4)
    assert wilson(0.5, 20)["high"] == pytest.approx(0.7007, abs=1e-4)
