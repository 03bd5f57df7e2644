"""Names are found in questions, and people invented who are nobody."""

from __future__ import annotations

import random

import pytest

from excise.methods.invented_names import PLACE, invented, name_in, templates
from excise.records.record import Record


def asked(*questions: str, subject: str = "p1", **more: str) -> list[Record]:
    return [
        Record(id=f"{subject}-{n}", subject=subject, split="forget", kind="text_memory",
               question=question, answer="x", **more)
        for n, question in enumerate(questions)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("questions", "name"),
    [
        (("Where does Marta Olsen live?", "What is Marta Olsen's job?"), "Marta Olsen"),
        (("Marta Olsen's home town?", "Tell me Marta Olsen's income."), "Marta Olsen"),
        (("Who is Jean-Luc O'Neill?", "Does Jean-Luc O'Neill earn much?"), "Jean-Luc O'Neill"),
        (("Where does Ümit Çelik live?", "Give me Ümit Çelik's address."), "Ümit Çelik"),
        (("What is his job?", "Where does he live?"), None),
        (("Where does Marta Olsen live?",), None),
    ],
)
def test_the_name_is_what_all_questions_about_one_person_share(
    questions: tuple[str, ...], name: str | None
) -> None:
    assert name_in(asked(*questions)) == name


def test_a_record_may_say_the_name() -> None:
    assert name_in(asked("who is marta olsen?", name="marta olsen")) == "marta olsen"


def test_templates_hold_no_name() -> None:
    people = [
        *asked("Where does Marta Olsen live?", "Marta Olsen's job?"),
        *asked("Where does Ivo Brandt live?", "Ivo Brandt's age?", subject="p2"),
    ]
    found = templates(people)
    assert found == [f"Where does {PLACE} live?", f"{PLACE}'s job?", f"{PLACE}'s age?"]


def test_invented_people_are_different_seeded_and_nobody_known() -> None:
    names = invented(500, random.Random(1), [])
    assert len(set(names)) == 500
    assert names == invented(500, random.Random(1), [])
    left = invented(500, random.Random(1), [name.upper() for name in names[:100]])
    assert len(left) == 500 and not set(left) & set(names[:100])
