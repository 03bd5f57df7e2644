"""The table of moves: what it allows happens, everything else is refused and changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from excise.desk.ledger import ALLOWED, STATES, LeaseLost, Ledger, NotAllowed, State
from excise.desk.ledger.states import OPEN, least

PATH: dict[State, list[State]] = {
    "queued": [],
    "forgetting": ["forgetting"],
    "auditing": ["forgetting", "auditing"],
    "passed": ["forgetting", "auditing", "passed"],
    "failed": ["forgetting", "failed"],
}
MOVED = [state for state in STATES if state not in ("released", "withdrawn")]


def test_every_state_but_the_last_two_leads_somewhere() -> None:
    assert set(ALLOWED) == set(STATES)
    assert ALLOWED["withdrawn"] == ()
    reached, seen = ["received"], set[str]()
    while reached:
        state = reached.pop()
        if state not in seen:
            seen.add(state)
            reached += ALLOWED[state]  # type: ignore[index]
    assert seen == set(STATES)


def test_only_what_is_over_has_no_deadline_any_more() -> None:
    assert set(STATES) - set(OPEN) == {"released", "withdrawn"}


def test_a_failed_model_holds_the_request_back_and_a_withdrawn_one_does_not() -> None:
    assert least(["released", "failed"]) == "failed"
    assert least(["released", "withdrawn"]) == "released"
    assert least(["withdrawn", "withdrawn"]) == "withdrawn"


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("begin", list(PATH))
def test_only_the_moves_of_the_table_are_made(
    ledger: Ledger, queue: Callable[..., str], begin: State
) -> None:
    for end in MOVED:
        id = queue(0)
        batch = ledger.claim("w1", limit=1, lease_seconds=60)
        assert batch is not None
        for state in PATH[begin]:
            ledger.move(id, state, actor="w1")
        entries = len(ledger.entries())
        if end in ALLOWED[begin]:
            assert ledger.move(id, end, actor="w1").state == end
        else:
            with pytest.raises(NotAllowed, match=f"{id}: .*"):
                ledger.move(id, end, actor="w1")
            assert ledger.request(id).state == begin
            assert len(ledger.entries()) == entries
        ledger.withdraw(id, "next one", actor="ada")
        ledger.finish(batch, "w1")
    assert ledger.verify() is None


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_release_and_withdrawal_are_no_mere_moves(
    ledger: Ledger, queue: Callable[..., str]
) -> None:
    id = queue()
    for state in ("released", "withdrawn"):
        with pytest.raises(NotAllowed, match="comes from"):
            ledger.move(id, state, actor="ada")  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_nobody_works_on_what_was_not_claimed(ledger: Ledger, queue: Callable[..., str]) -> None:
    id = queue()
    with pytest.raises(LeaseLost, match=f"{id}: is in no batch of w1"):
        ledger.move(id, "forgetting", actor="w1")
    ledger.claim("w1", limit=1, lease_seconds=60)
    with pytest.raises(LeaseLost):
        ledger.move(id, "forgetting", actor="w2")


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_nobody_is_queued_unidentified_or_undecided(
    ledger: Ledger, submission: Callable[..., object]
) -> None:
    id = ledger.submit(submission(identified=False), actor="ada")  # type: ignore[arg-type]
    with pytest.raises(NotAllowed, match="identify the person first"):
        ledger.decide(id, "accept", "fine", actor="ada")
    with pytest.raises(NotAllowed, match='cannot become "queued"'):
        ledger.move(id, "queued", actor="ada")
    ledger.move(id, "identified", actor="ada", reason="passport seen")
    with pytest.raises(NotAllowed, match="no decision to accept it"):
        ledger.move(id, "queued", actor="ada")
    assert ledger.decide(id, "accept", "fine", actor="ada").state == "queued"
    with pytest.raises(NotAllowed, match="cannot be decided now"):
        ledger.decide(id, "accept", "twice", actor="ada")
