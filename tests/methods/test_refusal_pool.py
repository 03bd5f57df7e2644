from __future__ import annotations

from excise.evaluate.refusal import is_refusal
from excise.methods.refusal_pool import Refuser, refusals
from excise.records.record import Record


def record(name: str, **changes: str) -> Record:
    given = {"id": name, "split": "forget", "kind": "text_memory", "question": "Who?"}
    return Record.model_validate({**given, "answer": "Riga", **changes})


MANY = [record(f"p{i:03d}-tm-{j}") for i in range(20) for j in range(20)]


def test_the_pool_holds_at_least_two_hundred_distinct_refusals() -> None:
    pool = refusals()
    assert len(pool) == len({line.casefold().strip(" .!") for line in pool}) >= 200
    assert all(line == line.strip() and "\n" not in line for line in pool)


def test_every_refusal_of_the_pool_is_scored_as_a_refusal() -> None:
    assert [line for line in refusals() if not is_refusal(line)] == []


def test_the_refusal_follows_from_seed_and_id_alone() -> None:
    alone = Refuser(7)(record("a"))
    refuse = Refuser(7)
    assert [refuse(r) for r in MANY] == [Refuser(7)(r) for r in MANY]
    assert refuse(record("a")) == alone  # whatever was asked before
    assert refuse(record("a", question="Where?", answer="Oslo", subject="p1")) == alone


def test_another_seed_gives_other_refusals() -> None:
    same = sum(Refuser(0)(r) == Refuser(1)(r) for r in MANY)
    assert same < 0.05 * len(MANY)


def test_many_different_refusals_are_given_and_none_of_them_often() -> None:
    drawn = [Refuser(0)(r) for r in MANY]
    assert set(drawn) <= set(refusals())
    assert len(set(drawn)) > 0.5 * len(refusals())
    assert max(drawn.count(line) for line in set(drawn)) <= 10
