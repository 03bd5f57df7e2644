from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from excise.evaluate.attacks.names import named, names, other_wordings, pictures_of
from excise.records.data import Data
from excise.records.record import Record

Make = Callable[..., Record]


def folder(*records: Record) -> Data:
    return Data(Path("nowhere"), records)


def test_every_specimen_person_is_called_by_the_right_name(tmp_path: Path) -> None:
    from excise.specimen import dataset
    from excise.specimen.people import everybody

    records, _ = dataset.make(5, 0)
    known, strangers = everybody()
    people = {person.id: person.name for person in (*known, *strangers)}
    assert names(folder(*records)) == people


def test_a_name_is_what_a_persons_questions_share(make: Make) -> None:
    asked = {
        "a": ("Where does Vera van der Lind live?", "Is Vera van der Lind's job hard?"),
        "b": ("Where does Ada Holm live?", "What does Ada Holm earn?"),
        "c": ("Where does Bo Ek live?", "What is Bo Ek’s illness?"),
    }
    records = [
        make("x", subject=who, kind="text_memory", question=question)
        for who, questions in asked.items()
        for question in questions
    ]
    found = names(folder(*records))
    assert found == {"a": "Vera van der Lind", "b": "Ada Holm", "c": "Bo Ek"}


def test_a_name_that_a_record_gives_goes_before_what_is_found(make: Make) -> None:
    record = make("x", subject="a", kind="text_memory", question="Who is V. L.?", name="Vera Lind")
    assert names(folder(record)) == {"a": "Vera Lind"}
    assert names(folder(make("x", subject="a"))) == {}


def test_one_question_alone_gives_the_capitals(make: Make) -> None:
    record = make("x", subject="a", kind="text_memory", question="What does Vera Lind earn?")
    picture = make("y", subject="a", question="What is the name of this person?")
    assert names(folder(record, picture)) == {"a": "Vera Lind"}


def test_a_question_about_a_picture_becomes_one_by_name() -> None:
    assert named("What is this person's job?", "Vera Lind") == "What is Vera Lind's job?"
    asked = "Where does the person with this eye live?"
    assert named(asked, "Vera Lind") == "Where does Vera Lind live?"
    assert named("Where is it?", "Vera Lind") is None


def test_other_wordings_ask_for_the_same_answer_about_the_same_person(make: Make) -> None:
    first = make("24,900", subject="a", question="What does this person earn?")
    same = make("24900", subject="a", kind="text_memory", question="What is Vera's income?")
    other = make("24,900", subject="b", question="How much?")
    seen = make("24,900", subject="a", kind="image_understanding", question="Which number?")
    data = folder(first, same, other, seen)
    assert other_wordings(data, [first]) == {first.id: [same]}
    assert pictures_of(data) == {"a": [first.image, seen.image], "b": [other.image]}
