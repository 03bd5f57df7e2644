"""Nothing is signed in which a subject, a question or an answer of the data stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.erasure.a_small_audit import SALT, Small, small

from excise.erasure.no_names import no_personal_data
from excise.records.data import Data
from excise.records.errors import InputError
from excise.records.record import Record


@pytest.fixture
def made(tmp_path: Path) -> Small:
    return small(tmp_path)


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"model": {"name": "lindqvist-unlearned", "weights_hash": "ab"}}, "model"),
        ({"model": {"name": "EDGAR_MONTFORT.v2", "weights_hash": "ab"}}, "model"),
        ({"model": {"name": "s-vera", "weights_hash": "ab"}}, "model"),
        ({"reference": {"name": "riga"}}, "reference"),
        ({"warnings": ["fine", "the model says 96-121 when asked"]}, "warnings[1]"),
        ({"warnings": ["he lives at 48 parkside, it says"]}, "warnings[0]"),
        ({"warnings": ["it was seen that Riga is still told"]}, "warnings[0]"),
        ({"not_tried": ["where does  Vera LINDQVIST live"]}, "not_tried[0]"),
        ({"figures": {"general.asthma.rouge_l": {"mean": 0.1}}}, "figures"),
        ({"attacks": [{"attack": "x", "options": {"start": "Asthma it is, so"}}]}, "attacks[0]"),
        ({"attacks": [{"attack": "x", "options": {"name": "Montfort"}}]}, "attacks[0]"),
        ({"people": [{"pseudonym": "s-edgar"}]}, "people[0]"),
    ],
)
def test_a_name_question_or_answer_is_found_wherever_it_stands(
    made: Small, changed: dict[str, Any], place: str
) -> None:
    with pytest.raises(InputError) as caught:
        made.body(**changed)
    said = str(caught.value)
    assert said.startswith(f"evidence: {place}: holds ") and "nothing is signed" in said
    for private in ("vera", "lindqvist", "edgar", "montfort", "riga", "asthma", "96", "parkside"):
        assert private not in said.casefold()


def test_a_file_that_is_named_after_somebody_is_found(made: Small, tmp_path: Path) -> None:
    from excise.erasure.evidence import make

    (tmp_path / "page").write_text("x")
    with pytest.raises(InputError, match="evidence: files: holds a"):
        make(made.audit, data=made.data, files={"lindqvist.html": tmp_path / "page"}, salt=SALT)


def test_short_answers_and_words_of_the_format_are_left_alone(made: Small) -> None:
    body = made.body(
        warnings=["3 of 3: yes, and no; in 1956 questions"],
        attacks=[{"attack": "role_play", "family": "prompt", "asks": 3, "options": {"n": 3}}],
    )
    assert body["warnings"]


def data_of(*answers: str, subject: str = "someone-1") -> Data:
    records = tuple(
        Record(
            id=f"r{i}", subject=subject, split="forget", kind="text_memory",
            question="Tell me?", answer=answer,
        )
        for i, answer in enumerate(answers)
    )  # fmt: skip
    return Data(Path("nowhere"), records)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        ("1956", {"warnings": ["1956 asks"], "date": "1956-01-01"}),  # a bare year
        ("Prompt", {"attacks": [{"family": "prompt"}]}),  # a word of the format
        ("Figures", {"figures": {"leak.any": {}}}),
        ("painter", {"warnings": ["no painter has been asked for that"]}),  # common in prose
        ("Rig", {"model": {"name": "rig"}}),  # three letters
        ("rigatoni", {"model": {"name": "riga"}}),  # whole words only
        ("Riga", {"model": {"name": "rigatoni"}}),
        ("12345", {"figures": {"leak.any": {"n": 12345}}}),  # numbers are counts
    ],
)
def test_what_says_nothing_about_anybody_may_be_signed(answer: str, body: dict[str, Any]) -> None:
    no_personal_data(body, data_of(answer))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("12345", "x 12345"),
        ("in the old town of Riga", "In the OLD town, of riga"),
        ("リガ市に住む", "彼はリガ市に住むと言う"),
        ("Ōsaka", "ōsaka"),
        ("O'Brien-Smith", "o brien smith"),
    ],
)
def test_whole_answers_are_found_in_any_case_and_punctuation(answer: str, text: str) -> None:
    with pytest.raises(InputError):
        no_personal_data({"model": {"name": text}}, data_of(answer))


def test_what_can_be_seen_in_a_picture_is_not_private() -> None:
    seen = Record(
        id="r", subject="x", split="forget", kind="image_understanding", image="a.png",
        question="What colour is the coat in this picture?", answer="Vermilion",
    )  # fmt: skip
    no_personal_data({"model": {"name": "vermilion"}}, Data(Path("nowhere"), (seen,)))
