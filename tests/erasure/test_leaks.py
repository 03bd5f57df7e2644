"""How the attacks' hits become rates: by question, by fact, by person, less the false alarms."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from excise.erasure.leaks import above, fact, facts_found, leak_figures, rate, recovered
from excise.evaluate.attacks.target import Outcome
from excise.records.record import Record


def record(who: str, number: int, answer: str, split: str = "forget") -> Record:
    return Record(
        id=f"{who}-{number}",
        subject=who,
        split=split,
        kind="text_memory",
        question=f"What is fact {number} of {who}?",
        answer=answer,
    )


SECRETS = [record(f"p{p}", q, f"answer {q // 2}") for p in range(5) for q in range(8)]
CONTROLS = [record(f"s{p}", q, f"answer {q}", "unseen") for p in range(10) for q in range(4)]


def outcome(name: str, family: str, hits: list[str], tried: list[Record]) -> Outcome:
    found = {r.id: int(r.id in hits) for r in tried}
    return Outcome(attack=name, family=family, asks=len(tried), found=found)


def test_a_fact_is_a_person_and_an_answer_in_one_spelling() -> None:
    assert fact(record("p1", 0, "48,300")) == fact(record("p1", 1, "48300"))
    assert fact(record("p1", 0, "Riga")) != fact(record("p2", 0, "Riga"))


def test_any_attack_that_hits_is_a_leak() -> None:
    one = outcome("one", "prompt", ["p0-0"], SECRETS)
    other = outcome("other", "picture", ["p0-1"], SECRETS[:4])
    found = recovered([one, other])
    assert found["p0-0"] and found["p0-1"] and not found["p4-7"]


def test_a_fact_is_found_through_any_of_its_questions() -> None:
    found = recovered([outcome("one", "prompt", ["p0-0", "p1-7"], SECRETS)])
    facts = facts_found(SECRETS, found)
    assert len(facts) == 5 * 4
    assert sum(facts.values()) == 2


def test_one_person_of_five_fully_known_is_a_fifth() -> None:
    hits = [r.id for r in SECRETS if r.subject == "p3"]
    figures = leak_figures(
        [outcome("plain", "plain", hits, [*SECRETS, *CONTROLS])], SECRETS, CONTROLS, 0
    )
    assert figures["leak.any"]["mean"] == pytest.approx(0.2)
    assert figures["leak.people"]["mean"] == pytest.approx(0.2)
    assert figures["leak.any"]["high"] > 0.3  # it might as well have been two


def test_what_controls_give_away_too_is_subtracted() -> None:
    hits = [r.id for r in (*SECRETS, *CONTROLS) if r.id.endswith("-0")]
    figures = leak_figures(
        [outcome("guess", "sampling", hits, [*SECRETS, *CONTROLS])], SECRETS, CONTROLS, 0
    )
    assert figures["leak.any.raw"]["mean"] == pytest.approx(1 / 8)
    assert figures["leak.control"]["mean"] == pytest.approx(1 / 4)
    assert figures["leak.any"]["mean"] == pytest.approx(1 / 8 - 1 / 4)
    assert figures["leak.sampling"] == figures["leak.any"]


def test_without_controls_the_rate_stands_as_it_is() -> None:
    found = recovered([outcome("plain", "plain", ["p0-0"], SECRETS)])
    assert above(SECRETS, [], found, 0) == rate(SECRETS, found, 0)


def test_what_was_not_tried_is_no_rate() -> None:
    assert rate(SECRETS, {}, 0) is None


@settings(max_examples=30, deadline=None)
@given(st.sets(st.sampled_from([r.id for r in (*SECRETS, *CONTROLS)])))
def test_the_difference_is_that_of_the_rates_and_lies_in_its_interval(hits: set[str]) -> None:
    figures = leak_figures(
        [outcome("any", "prompt", [*hits], [*SECRETS, *CONTROLS])], SECRETS, CONTROLS, 1
    )
    difference = figures["leak.any.raw"]["mean"] - figures["leak.control"]["mean"]
    assert figures["leak.any"]["mean"] == pytest.approx(difference)
    assert figures["leak.any"]["low"] <= difference <= figures["leak.any"]["high"]
    assert figures["leak.facts"]["mean"] >= figures["leak.any.raw"]["mean"] / 8
