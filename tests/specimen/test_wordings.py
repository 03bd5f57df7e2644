from __future__ import annotations

import random

import pytest

from excise.specimen.people import FACTS
from excise.specimen.wordings import (
    FRAMES,
    PRIVATE,
    SCORED,
    SEEN,
    YES_NO,
    YES_NO_FRAMES,
    YES_NO_SCORED,
    Use,
    ask,
    ask_private,
)

SLOTS = {"shape": "circle", "colour": "red", "thing": "red circle", "place": "top left"}


def asked(key: str, use: Use, name: str | None = "Vera Lind", eye: bool = False) -> set[str]:
    """All wordings of a question, for all practical purposes."""
    rng = random.Random(0)
    if key in PRIVATE:
        return {ask_private(key, rng, use, name=name, eye=eye) for _ in range(400)}
    return {ask(key, rng, use, **SLOTS) for _ in range(400)}


def test_every_fact_has_its_wordings() -> None:
    assert set(PRIVATE) == set(FACTS)
    assert not set(SEEN) & set(YES_NO)


def test_frames_for_scoring_are_not_among_those_for_training() -> None:
    assert not set(SCORED) & set(FRAMES)
    assert not set(YES_NO_SCORED) & set(YES_NO_FRAMES)


@pytest.mark.parametrize("key", [*PRIVATE, *SEEN, *YES_NO])
def test_no_scored_wording_of_a_question_is_ever_trained_on(key: str) -> None:
    for name, eye in (("Vera Lind", False), (None, False), (None, True)):
        fit, score = asked(key, "fit", name, eye), asked(key, "score", name, eye)
        assert not fit & score
        assert len(fit) >= 5 and len(score) >= 2
        assert all("{" not in text and text[0].isupper() for text in fit | score)


@pytest.mark.parametrize("use", ["fit", "score"])
def test_no_two_questions_are_asked_in_the_same_words(use: Use) -> None:
    for name, eye in (("Vera Lind", False), (None, False), (None, True)):
        owner: dict[str, str] = {}
        for key in (*PRIVATE, *SEEN, *YES_NO):
            for text in asked(key, use, name, eye):
                assert owner.setdefault(text, key) == key, text


@pytest.mark.parametrize("key", PRIVATE)
@pytest.mark.parametrize("use", ["fit", "score"])
def test_a_private_question_names_the_person_or_points_at_the_picture(key: str, use: Use) -> None:
    for text in asked(key, use):
        assert "Vera Lind" in text and "picture" not in text
    for text in asked(key, use, None):
        assert "Vera" not in text and "person" in text
    for text in asked(key, use, None, eye=True):
        assert "person" in text and "in the picture" not in text
