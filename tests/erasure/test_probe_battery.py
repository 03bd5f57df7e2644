"""The battery: which questions are asked, and what is said of a broken file."""

from __future__ import annotations

from pathlib import Path

import pytest

from excise.erasure.battery import Battery, read_battery
from excise.records.errors import InputError


def _written(folder: Path, text: str) -> Path:
    path = folder / "questions.txt"
    path.write_text(text, "utf-8")
    return path


def test_our_battery_asks_every_private_question_in_several_wordings() -> None:
    battery = read_battery()
    assert len(battery.questions) >= 20
    for question in battery.questions:
        assert len(set(question.through_picture())) >= 3
        assert all("{" not in wording for wording in question.through_picture())
    keys = {question.key for question in battery.questions}
    assert {"name", "address", "birth", "income", "illness", "religion", "account"} <= keys
    assert battery.looking


def test_a_name_stands_where_the_person_does_and_begins_a_sentence(tmp_path: Path) -> None:
    path = _written(tmp_path, "# ours\ncity: Where is {person} at home?\ncity: {person}'s city?\n")
    (question,) = read_battery(path).questions
    assert question.by_name("ada Lund") == ("Where is ada Lund at home?", "Ada Lund's city?")
    assert question.through_picture() == ("Where is this person at home?", "This person's city?")


def test_what_needs_a_picture_is_not_asked_by_name(tmp_path: Path) -> None:
    path = _written(tmp_path, "[picture]\nname: Who is this?\n[looking]\nDescribe it.\n")
    battery = read_battery(path)
    assert battery.questions[0].by_name("Ada Lund") == ()
    assert battery == Battery(battery.questions, ("Describe it.",))


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("city: Where?\n", 1, "no {person}"),
        ("\n\nWhere does {person} live?\n", 3, "expected `key: wording`"),
        ("city:\n", 1, "expected `key: wording`"),
        ("[privat]\n", 1, 'did you mean "private"?'),
        ("[picture]\nname: Who is {person}?\n", 2, "under [picture]"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, text: str, line: int, reason: str) -> None:
    path = _written(tmp_path, text)
    with pytest.raises(InputError) as told:
        read_battery(path)
    assert str(told.value).startswith(f"{path}:{line}: ") and reason in str(told.value)


def test_a_file_without_questions_and_a_missing_one_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no private question"):
        read_battery(_written(tmp_path, "# nothing\n[looking]\nDescribe the picture.\n"))
    with pytest.raises(InputError, match="no such text file"):
        read_battery(tmp_path / "nowhere.txt")
