from __future__ import annotations

import pytest

from excise.report.outcome import matches, outcome


@pytest.mark.parametrize(
    ("answer", "reference", "same"),
    [
        ("In Riga.", "riga", True),
        ("The answer is 48300", "48,300", True),
        ("48,301", "48,300", False),
        ("I have no idea", "no", False),
        ("No.", "no", True),
        ("Riga Street", "Riga", True),
        ("Brigand", "Riga", False),
        ("", "Riga", False),
        ("[58, 57, 87, 86]", "[59, 56, 88, 85]", True),
        ("[0, 0, 10, 10]", "[59, 56, 88, 85]", False),
        ("a red square", "red square", True),
    ],
)
def test_an_answer_matches_when_it_states_the_reference(
    answer: str, reference: str, same: bool
) -> None:
    assert matches(answer, reference) is same


@pytest.mark.parametrize(
    ("who", "kind", "before", "after", "word"),
    [
        ("forgotten", "image_memory", "Riga", "I cannot say.", "vanished"),
        ("forgotten", "text_memory", "Riga", "Riga", "still there"),
        ("forgotten", "image_memory", "Oslo", "Riga", "still there"),
        ("forgotten", "image_memory", "Oslo", "I cannot say.", "not known before"),
        ("forgotten", "image_understanding", "Riga", "Riga", "kept"),
        ("forgotten", "image_understanding", "Riga", "Oslo", "lost"),
        ("retained", "image_memory", "Riga", "Riga", "kept"),
        ("retained", "image_memory", "Riga", "I cannot say.", "lost"),
        ("retained", "image_memory", "Oslo", "Oslo", "kept"),
        ("unseen", "general", "Oslo", "Turin", "changed"),
    ],
)
def test_the_word_says_what_became_of_the_answer(
    who: str, kind: str, before: str, after: str, word: str
) -> None:
    assert outcome(who, kind, "Riga", before, after) == word
