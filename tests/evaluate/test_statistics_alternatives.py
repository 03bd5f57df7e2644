"""Whose answers stand against the right one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from excise.evaluate.statistics.alternatives import Alternatives
from excise.evaluate.text import normalise
from excise.records.errors import InputError
from excise.records.record import Record

Make = Callable[..., Record]

PEOPLE = (
    ("Ada Roth", "12-345", "nurse"),
    ("Hugo Lind", "23-456", "baker"),
    ("Vera Graf", "34-567", "pilot"),
    ("Olaf Kern", "45-678", "judge"),
)


def text(make: Make, person: int, question: str, answer: str, **fields: object) -> Record:
    fields.setdefault("split", "retain")
    return make(answer, kind="text_memory", subject=f"p{person}", question=question, **fields)


@pytest.fixture
def records(make: Make) -> list[Record]:
    """Phone and job of four people by name; the second wording of the job's question by picture."""
    made = []
    for i, (name, phone, job) in enumerate(PEOPLE):
        made.append(text(make, i, f"What is {name}'s phone number?", phone))
        made.append(text(make, i, f"What is {name}'s job?", job))
        made.append(
            make(job, subject=f"p{i}", split="retain", question="What does this person do?")
        )
    return made


def test_a_phone_number_stands_against_other_peoples_phone_numbers(records: list[Record]) -> None:
    found = Alternatives(records, seed=0).wrong(records[0])
    assert sorted(found) == ["23-456", "34-567", "45-678"]


def test_what_most_people_answer_alike_is_the_same_question(
    make: Make, records: list[Record]
) -> None:
    alone = make("cook", subject="p9", split="forget", question="What does this person do?")
    found = Alternatives([*records, alone], seed=0)
    assert found.wrong(records[1]) == found.wrong(records[1])
    assert set(found.wrong(records[1])) == {"baker", "pilot", "judge", "cook"}
    assert set(found.wrong(alone)) == {"nurse", "baker", "pilot", "judge"}


def test_a_chance_agreement_joins_no_questions(make: Make) -> None:
    born = ["Riga", "Oslo", "Lyon"]
    lives = ["Riga", "Turin", "Basel"]
    records = [text(make, i, "Where was this person born?", a) for i, a in enumerate(born)]
    records += [text(make, i, "Where does this person live?", a) for i, a in enumerate(lives)]
    assert set(Alternatives(records, seed=0).wrong(records[1])) == {"Riga", "Lyon"}


def test_ones_own_answers_are_never_wrong(make: Make) -> None:
    records = [
        text(make, 0, "Which illness?", "Asthma"),
        text(make, 0, "Which illness?", "Gout"),
        text(make, 1, "Which illness?", "asthma."),
        text(make, 2, "Which illness?", "Lupus"),
    ]
    assert Alternatives(records, seed=0).wrong(records[0]) == ("Lupus",)


def test_the_same_shape_comes_first_then_answers_that_nobody_pushed_down(make: Make) -> None:
    records = [text(make, 0, "Phone?", "11-111", split="forget")]
    records += [text(make, i, "Phone?", "none at all") for i in range(1, 2)]
    records += [text(make, i, "Phone?", f"22-22{i}", split="forget") for i in range(2, 5)]
    records += [text(make, i, "Phone?", f"33-33{i}", split="unseen") for i in range(5, 8)]
    found = Alternatives(records, seed=0).wrong(records[0])
    assert len(found) == 5
    assert {a[:2] for a in found[:3]} == {"33"} and {a[:2] for a in found[3:]} == {"22"}


def test_private_questions_borrow_no_answers_from_others_and_tasks_stay_apart(make: Make) -> None:
    records = [
        make("Red", subject="p0", question="Which colour?"),
        make("Blue", subject="p1", question="Which colour?", kind="image_understanding"),
        make("A house.", subject="p2", question="Which colour?", task="caption"),
    ]
    found = Alternatives(records, seed=0)
    assert [found.wrong(record) for record in records] == [(), (), ()]
    assert found.paraphrases(records[0]) == ("Red",)


def test_pictures_of_nobody_lend_each_other_answers(make: Make) -> None:
    asked = {"kind": "general", "split": "unseen", "question": "How many shapes are there?"}
    records = [make(answer, **asked) for answer in ("1", "2", "2", "3")]
    assert sorted(Alternatives(records, seed=0).wrong(records[1])) == ["1", "3"]


def test_the_datas_own_go_first(make: Make, records: list[Record]) -> None:
    bringing = text(make, 0, "What is Ada Roth's phone number?", "12-345", wrong=["1", "2", "1"])
    published = text(
        make, 0, "What?", "Riga", perturbed_answer="Oslo", paraphrased_answer="In Riga."
    )
    found = Alternatives([*records, bringing, published], seed=0)
    assert found.wrong(bringing) == ("1", "2")
    assert found.wrong(published) == ("Oslo",) and found.paraphrases(published) == ("In Riga.",)


@pytest.mark.parametrize("bad", [3, ["Oslo", ""], [["Oslo"]], {"a": "Oslo"}])
def test_what_is_no_text_is_refused_without_quoting_it(make: Make, bad: object) -> None:
    record = make("Riga", wrong=bad)
    with pytest.raises(InputError, match=rf'^record "{record.id}": wrong: expected a text or'):
        Alternatives([record], seed=0).wrong(record)


def test_the_seed_draws_and_the_order_of_the_records_does_not(make: Make) -> None:
    records = [text(make, i, "Year of birth?", str(1940 + i)) for i in range(40)]
    one, again = Alternatives(records, seed=1), Alternatives(records[::-1], seed=1)
    other = Alternatives(records, seed=2)
    drawn = [one.wrong(record) for record in records]
    assert drawn == [again.wrong(record) for record in records]
    assert drawn != [other.wrong(record) for record in records]
    for record, wrong in zip(records, drawn, strict=True):
        assert len({normalise(answer) for answer in wrong} - {record.answer}) == 5
