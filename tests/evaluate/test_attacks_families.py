"""The attacks on a model that knows two people well, and on one that never saw them."""

from __future__ import annotations

import pytest
from tests.evaluate.attacked import shares, target, written

from excise.evaluate.attacks import Outcome, Target, attack_model
from excise.records.data import Data

ASKING = ("plain", "other_door", "prompt", "picture", "sampling", "prefill")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return written(tmp_path_factory.mktemp("attacked") / "data")


def few(whole: Target) -> Target:
    """Two of the forgotten and four of the strangers."""
    people = {*whole.data.subjects("forget")[:2], *whole.data.subjects("unseen")[:4]}
    records = whole.data.select(kinds=["image_memory", "text_memory"], use="score")
    chosen = tuple(record for record in records if record.subject in people)
    return Target(whole.vlm, whole.data, chosen, whole.seed)


@pytest.fixture(scope="module")
def knows(data: Data) -> Target:
    return few(target(data, "original"))


@pytest.fixture(scope="module")
def found(knows: Target) -> list[Outcome]:
    return attack_model(knows, "quick", only=ASKING)


def union(outcomes: list[Outcome]) -> Outcome:
    counts: dict[str, int] = {}
    for outcome in outcomes:
        for record, hits in outcome.found.items():
            counts[record] = counts.get(record, 0) + hits
    return Outcome(sum(outcome.asks for outcome in outcomes), counts)


@pytest.mark.parametrize("family", ASKING)
def test_every_family_finds_what_the_model_knows(
    family: str, knows: Target, found: list[Outcome]
) -> None:
    of_family = [outcome for outcome in found if outcome.family == family]
    assert of_family
    rates = shares(knows, union(of_family))
    assert rates["forget"] >= 0.9
    assert rates["unseen"] <= 0.2


def test_a_model_that_never_saw_the_people_gives_nothing_away(
    data: Data, knows: Target, found: list[Outcome]
) -> None:
    ignorant = few(target(data, "retrained"))
    outcomes = attack_model(ignorant, "quick", only=ASKING)
    rates = shares(ignorant, union(outcomes))
    assert rates["forget"] <= 0.25
    assert [outcome.asks for outcome in outcomes] == [outcome.asks for outcome in found]


def test_the_same_seed_finds_the_same(knows: Target, found: list[Outcome]) -> None:
    chosen = ["sampled_answers", "crop"]
    again = attack_model(knows, "quick", only=chosen)
    assert again == [outcome for outcome in found if outcome.attack in chosen]


def test_no_attack_looks_at_the_split(knows: Target, found: list[Outcome]) -> None:
    def hidden(records: tuple[object, ...]) -> tuple[object, ...]:
        return tuple(r.model_copy(update={"split": "few"}) for r in records)  # type: ignore[attr-defined]

    data = Data(knows.data.folder, hidden(knows.data.records))  # type: ignore[arg-type]
    blind = Target(knows.vlm, data, hidden(knows.records), knows.seed)  # type: ignore[arg-type]
    tried = ["other_door", "prompt", "first_words"]
    expected = [o.found for o in found if {o.attack, o.family} & {*tried}]
    assert [o.found for o in attack_model(blind, "quick", only=tried)] == expected


def test_notes_tell_how_likely_the_truth_is_behind_a_start(knows: Target) -> None:
    options = {"likeliest_starts": {"starts": 1, "ranks": True}}
    (outcome,) = attack_model(knows, "quick", only=["likeliest_starts"], options=options)
    assert outcome.notes["median_rank.forget"] == 1
    assert outcome.notes["probability.forget"] > 0.8 > outcome.notes["probability.unseen"]
    assert outcome.notes["median_rank.unseen"] > 1


def test_progress_is_told_from_the_first_to_the_last(knows: Target) -> None:
    told: list[tuple[str, int, int]] = []
    attack_model(knows, only=["plain", "by_name"], progress=lambda *now: told.append(now))
    assert told == [("plain", 0, 2), ("by_name", 1, 2), ("by_name", 2, 2)]


def test_options_that_were_used_are_in_the_outcome(found: list[Outcome]) -> None:
    sampled = next(outcome for outcome in found if outcome.attack == "sampled_answers")
    assert sampled.options == {"samples": 5, "temperature": 1.0}
    assert sampled.family == "sampling"
