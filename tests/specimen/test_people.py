from __future__ import annotations

from itertools import combinations

import pytest

from excise.specimen.people import FACTS, KNOWN, STRANGERS, chosen, everybody

KNOWN_PEOPLE, UNKNOWN_PEOPLE = everybody()
EVERYBODY = (*KNOWN_PEOPLE, *UNKNOWN_PEOPLE)


def test_a_hundred_people_are_known_and_others_never_met() -> None:
    assert (len(KNOWN_PEOPLE), len(UNKNOWN_PEOPLE)) == (KNOWN, STRANGERS)
    assert KNOWN == 100 and STRANGERS > 0
    assert len({person.id for person in EVERYBODY}) == KNOWN + STRANGERS


def test_any_two_people_can_be_told_apart_by_face_and_by_eye() -> None:
    for one, other in combinations(EVERYBODY, 2):
        assert one.face.distance(other.face) >= 3
        assert one.eye.distance(other.eye) >= 2


def test_nobody_shares_a_name_or_even_a_family_name() -> None:
    assert len({person.name for person in EVERYBODY}) == len(EVERYBODY)
    assert len({person.name.split()[-1] for person in EVERYBODY}) == len(EVERYBODY)


def test_everybody_has_the_same_private_facts_and_they_differ_from_person_to_person() -> None:
    assert len(FACTS) >= 8
    assert all(tuple(person.facts) == FACTS for person in EVERYBODY)
    for key in FACTS:
        most = max(
            sum(other.facts[key] == person.facts[key] for other in EVERYBODY)
            for person in EVERYBODY
        )
        assert most <= 0.12 * len(EVERYBODY), key  # guessing the commonest answer gains little


def test_people_follow_from_the_seed() -> None:
    everybody.cache_clear()
    assert everybody() == (KNOWN_PEOPLE, UNKNOWN_PEOPLE)
    others, _ = everybody(7)
    assert {person.name for person in others} != {person.name for person in KNOWN_PEOPLE}
    assert others[0].face != KNOWN_PEOPLE[0].face


@pytest.mark.parametrize(("ratio", "count"), [(5, 5), (10, 10), (15, 15)])
def test_as_many_are_the_few_as_are_forgotten_and_nobody_is_both(ratio: int, count: int) -> None:
    forgotten, few = chosen(ratio, 0)
    assert len({person.id for person in forgotten}) == len(forgotten) == count
    assert len({person.id for person in few}) == len(few) == count
    assert not {p.id for p in forgotten} & {p.id for p in few}
    assert {p.id for p in (*forgotten, *few)} <= {p.id for p in KNOWN_PEOPLE}
    assert chosen(ratio, 0) == (forgotten, few)
    assert {p.id for p in chosen(ratio, 1)[0]} != {p.id for p in forgotten}
