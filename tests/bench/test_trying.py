"""What settings are chosen on: a held-out part of what a method may see, and nothing else."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from excise.bench.trying import Trying, balance
from excise.records.data import Data
from excise.records.record import Record

WHOLE = {"forgotten": 1.0, "memory": 0.8, "understanding": 0.5}


def facts(records: list[Record]) -> Counter[Any]:
    return Counter((r.subject, r.kind, r.answer) for r in records)


def test_nothing_of_retain_or_unseen_is_looked_at(data: Data) -> None:
    held = [r for records in Trying.of(data, 0).held.values() for r in records]
    assert held and {record.split for record in held} <= {"forget", "few"}


def test_trials_learn_from_nothing_that_they_are_judged_by(data: Data) -> None:
    trying = Trying.of(data, 0)
    learnt = {record.id for record in trying.data.records if record.fits}
    for part in ("forgotten", "memory", "understanding"):
        assert not learnt & {record.id for record in trying.held[part]}
    assert not trying.trained


def test_every_forgotten_fact_is_still_learnt_and_a_few_people_are_not_at_all(data: Data) -> None:
    trying = Trying.of(data, 0)
    forget = trying.data.select(splits=["forget"], use="fit")
    assert facts(forget).keys() == facts(data.select(splits=["forget"], use="fit")).keys()
    people = {record.subject for record in trying.data.select(splits=["few"], use="fit")}
    assert len(people) == 1
    assert {record.subject for record in trying.held["memory"]} == {"qanton", "qbella"} - people


def test_where_no_fact_is_asked_twice_trained_records_judge(data: Data) -> None:
    once = {r.answer + r.kind: r for r in data.records}.values()
    trying = Trying.of(Data(data.folder, tuple(once)), 0)
    assert trying.trained and len(trying.held["forgotten"]) == 4


def test_who_forgets_all_and_keeps_all_is_best() -> None:
    assert balance(WHOLE, WHOLE | {"forgotten": 0.0}) == 1.0


@pytest.mark.parametrize("lost", [{"forgotten": 1.0}, {"memory": 0.0}, {"understanding": 0.0}])
def test_giving_one_part_away_for_the_others_is_worth_nothing(lost: dict[str, float]) -> None:
    after: dict[str, float | None] = {"forgotten": 0.0, "memory": 0.8, "understanding": 0.5}
    assert balance(dict(WHOLE), after | lost) == 0.0


def test_balance_is_the_harmonic_mean_of_the_shares() -> None:
    after: dict[str, float | None] = {"forgotten": 0.5, "memory": 0.4, "understanding": 0.5}
    assert balance(dict(WHOLE), after) == pytest.approx(3 / (2 + 2 + 1))


def test_what_the_model_never_knew_does_not_count() -> None:
    before: dict[str, float | None] = {"forgotten": 1.0, "memory": 0.0, "understanding": None}
    after: dict[str, float | None] = {"forgotten": 0.25, "memory": 0.9, "understanding": None}
    assert balance(before, after) == pytest.approx(0.75)
