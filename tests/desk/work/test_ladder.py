"""The ladder, and whose setting an audit changes."""

from __future__ import annotations

from typing import Any

import pytest

from excise.desk.work.auditing import judge, returned
from excise.desk.work.ladder import Ladder, Rung, Setting
from excise.desk.work.settings import model_settings
from excise.records.errors import InputError

LADDER = Ladder()


def test_the_first_setting_is_the_models_own() -> None:
    assert LADDER.setting(()) == Setting(1.0, {})


def test_dials_come_before_training_anew() -> None:
    ways = ["firmer"] * 3
    settings = [LADDER.setting(ways[:n]) for n in (1, 2, 3)]
    assert [s.strength for s in settings if s] == [1.25, 1.6, 1.0]
    assert [dict(s.options) for s in settings if s] == [{}, {}, {"push": "1", "epochs": "5"}]


def test_the_ladder_ends_at_its_last_rung() -> None:
    assert LADDER.setting(["firmer"] * 4) is None
    assert LADDER.setting(["gentler"] * 4) is None
    assert Ladder(firmer=()).setting(["firmer"]) is None


def test_it_ends_where_both_ways_were_asked_for_twice() -> None:
    assert LADDER.setting(["firmer", "gentler", "firmer", "gentler"]) is None
    dials = Ladder(gentler=(Rung(strength=0.85), Rung(strength=0.7)))
    assert dials.setting(["firmer", "gentler", "firmer"]) == Setting(1.6, {})
    assert dials.setting(["firmer", "gentler", "firmer", "gentler"]) is None


@pytest.mark.parametrize("ways", [["firmer", "gentler"], ["gentler", "gentler", "firmer"]])
def test_where_no_dial_will_do_it_is_trained_anew(ways: list[Any]) -> None:
    """Up forgets and harms, down does neither: what is missing is a better adapter."""
    held = {"hold": "6", "epochs": "5"}
    assert LADDER.setting(ways) == Setting(1.0, held)
    if ways.count("firmer") == ways.count("gentler"):
        assert LADDER.setting([*ways, "firmer"]) == Setting(1.25, held)


def test_a_dial_turns_the_adapter_that_was_trained_last() -> None:
    ladder = Ladder(
        firmer=(Rung(options={"push": "2"}), Rung(strength=1.5)), gentler=(Rung(strength=0.5),)
    )
    assert ladder.setting(["firmer", "firmer"]) == Setting(1.5, {"push": "2"})
    assert ladder.setting(["firmer", "gentler"]) == Setting(0.5, {"push": "2"})


def test_what_a_rollback_opened_is_trained_anew() -> None:
    assert LADDER.setting((), anew=True) == Setting(1.0, {"hold": "6", "epochs": "5"})
    firmer = LADDER.setting(["firmer"], anew=True)
    assert firmer == Setting(1.25, {"hold": "6", "epochs": "5"})
    assert LADDER.setting(["gentler"], anew=True) is None
    assert Ladder(gentler=()).setting((), anew=True) == Setting()


def audited(*failed: dict[str, Any], came_back: tuple[int, int] = (0, 0)) -> dict[str, Any]:
    lines = [{"status": "failed", **line} for line in failed]
    return {
        "gate": {"passed": not failed, "lines": lines},
        "figures": {"leak.control": {"mean": 0.1}},
        "people": [
            {"pseudonym": f"person-{n}", "facts": 10, "found": {"after": count}}
            for n, count in enumerate(came_back)
        ],
    }


PEOPLE = {"person-0": "r-0", "person-1": "r-1"}
LEAK = {"figure": "leak.any", "at_most": 0.05}
HARM = {"figure": "kept.memory", "at_least": 0.95}


def test_a_passed_gate_blames_nobody() -> None:
    assert judge(audited(), PEOPLE, {}).passed


def test_a_leak_is_theirs_whose_facts_came_back() -> None:
    verdict = judge(audited(LEAK, came_back=(5, 1)), PEOPLE, {})
    assert dict(verdict.blame) == {"r-0": "firmer"}


def test_a_leak_of_nobody_in_particular_is_everybodys() -> None:
    verdict = judge(audited(LEAK, came_back=(2, 2)), PEOPLE, {})
    assert dict(verdict.blame) == {"r-0": "firmer", "r-1": "firmer"}


def test_harm_is_everybodys() -> None:
    verdict = judge(audited(HARM, came_back=(5, 0)), PEOPLE, {})
    assert dict(verdict.blame) == {"r-0": "gentler", "r-1": "gentler"}


def test_with_leak_and_harm_who_leaks_goes_firmer_and_the_others_gentler() -> None:
    verdict = judge(audited(LEAK, HARM, came_back=(5, 0)), PEOPLE, {})
    assert dict(verdict.blame) == {"r-0": "firmer", "r-1": "gentler"}


@pytest.mark.parametrize(
    ("line", "way"),
    [
        ({"figure": "privleak", "at_least": -20}, "firmer"),
        ({"figure": "privleak", "at_most": 20}, "gentler"),
        ({"figure": "forget_quality", "at_least": 0.05}, "firmer"),
        ({"figure": "membership.loss", "at_most": 0.6}, "firmer"),
        ({"figure": "membership.loss", "at_least": 0.4}, "gentler"),
        ({"figure": "extraction_strength.forget", "at_most": 0.1}, "firmer"),
        ({"figure": "extraction_strength.retain", "at_least": 0.1}, "gentler"),
        ({"figure": "kept.understanding.forget", "at_least": 0.9}, "gentler"),
        ({"figure": "refusal.unseen", "at_most": 0.05}, "gentler"),
        ({"figure": "meaningful", "at_least": 8}, "gentler"),
    ],
)
def test_each_line_says_which_way(line: dict[str, Any], way: str) -> None:
    assert {*judge(audited(line), PEOPLE, {}).blame.values()} == {way}


def test_an_earlier_memory_that_is_back_fails_a_batch() -> None:
    assert not judge(audited(), PEOPLE, {"r-9": (4, 20)}).passed
    assert judge(audited(), PEOPLE, {"r-9": (2, 20)}).passed
    assert returned({"r-1": (1, 2), "r-2": (2, 2)}) == ["r-2"]


def test_a_gate_that_could_measure_nothing_is_no_pass() -> None:
    nothing = {**audited(), "gate": {"passed": False, "lines": [{"status": "not measured"}]}}
    with pytest.raises(InputError, match="none of its figures was measured"):
        judge(nothing, PEOPLE, {})


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"others": 3}, "others"),
        ({"ladder": {"firmer": [{"strength": 9}]}}, "ladder.firmer.0.strength"),
        ({"kind": "gguf"}, "kind"),
        ({"metod": "smfa"}, "metod"),
        ({"budget": {"memory": 2}}, "budget.memory"),
    ],
)
def test_a_wrong_setting_is_named_with_its_model(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError, match=f"^model m: {field}: "):
        model_settings("m", wrong)
