"""A request from submission to release, on both databases."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from excise.desk.ledger import (
    Duplicate,
    LeaseLost,
    Ledger,
    NotAllowed,
    Stale,
    Submission,
    Unknown,
)
from excise.records import Data, InputError, read

from .conftest import HASH, NAMES, Clock

Make = Callable[..., Submission]
Queue = Callable[..., str]


def through(ledger: Ledger, ids: list[str], worker: str = "w1") -> None:
    """Claim a batch of all queued requests, and let them pass."""
    batch = ledger.claim(worker, limit=100, lease_seconds=60)
    assert batch is not None
    for id in ids:
        ledger.move(id, "forgetting", actor=worker, model=batch.model.name)
        ledger.move(id, "auditing", actor=worker, model=batch.model.name)
        ledger.move(id, "passed", actor=worker, model=batch.model.name, figures={"leak.any": 0.0})
    ledger.finish(batch, worker)


def put_out(ledger: Ledger, ids: list[str], after: str | None = None, **more: object):  # type: ignore[no-untyped-def]
    return ledger.release(
        "m", kind="merged", folder="releases/1", weights_hash="cd" * 32, manifest_hash="ef" * 32,
        requests=ids, actor="w1", after=after, **more,
    )  # type: ignore[arg-type]  # fmt: skip


def test_a_request_goes_from_submission_to_release(ledger: Ledger, queue: Queue) -> None:
    id = queue()
    assert ledger.request(id).state == "queued"
    through(ledger, [id])
    release = put_out(ledger, [id])
    request = ledger.request(id)
    assert request.state == "released"
    assert request.part().figures == {"leak.any": 0.0}
    assert ledger.current("m") == release
    assert ledger.counts()["released"] == 1
    kinds = [entry.kind for entry in ledger.entries(id)]
    assert kinds == ["request.submitted", "request.decided", *["request.moved"] * 4]
    assert ledger.verify() is None


def test_the_deadline_is_a_month_later_and_the_last_day_of_a_short_one(
    ledger: Ledger, submission: Make
) -> None:
    request = ledger.request(ledger.submit(submission(), actor="ada"))
    assert request.received == date(2026, 3, 31)
    assert request.deadline == date(2026, 4, 30)
    assert request.days_left(date(2026, 5, 1)) == -1


def test_an_extension_is_two_months_at_most_and_within_the_first(
    ledger: Ledger, submission: Make, clock: Clock
) -> None:
    id = ledger.submit(submission(), actor="ada")
    assert ledger.extend(id, 1, "complex", actor="ada").deadline == date(2026, 5, 31)
    assert ledger.extend(id, 1, "many models", actor="ada").deadline == date(2026, 6, 30)
    with pytest.raises(InputError, match="expected 1 to 2 all together, of which 2 are used"):
        ledger.extend(id, 1, "more", actor="ada")
    other = ledger.submit(submission(1), actor="ada")
    clock.forward(days=31)
    with pytest.raises(NotAllowed, match="first month ended on 2026-04-30"):
        ledger.extend(other, 1, "late", actor="ada")


def test_the_same_person_twice_is_told_the_first_request(
    ledger: Ledger, submission: Make, person_data: Data
) -> None:
    first = ledger.submit(submission(), actor="ada")
    loud = submission(subject=None, data=None, name=NAMES[0].upper().replace(" ", "  "))
    for again in (submission(), loud):
        with pytest.raises(Duplicate, match=first) as refused:
            ledger.submit(again, actor="bob")
        assert refused.value.first == first
        assert not any(part in str(refused.value) for part in NAMES[0].split())
    assert [r.id for r in ledger.requests()] == [first]
    assert len(list((ledger.settings.vault).glob("r-*"))) == 1, "the refused one left something"
    ledger.withdraw(first, "changed their mind", actor="ada")
    assert ledger.submit(submission(), actor="bob") != first


def test_the_same_person_may_ask_for_another_model(ledger: Ledger, submission: Make) -> None:
    ledger.register_model("n", "models/n", HASH, actor="ada")
    ledger.submit(submission(), actor="ada")
    ledger.submit(submission(models=("n",)), actor="ada")
    with pytest.raises(Duplicate):
        ledger.submit(submission(models=("m", "n")), actor="ada")


def test_a_request_for_two_models_is_as_far_as_the_slower(ledger: Ledger, submission: Make) -> None:
    ledger.register_model("n", "models/n", HASH, actor="ada")
    id = ledger.submit(submission(models=("m", "n")), actor="ada")
    ledger.decide(id, "accept", "no exception", actor="ada")
    through(ledger, [id])
    put_out(ledger, [id])
    request = ledger.request(id)
    assert {part.model: part.state for part in request.parts} == {"m": "released", "n": "queued"}
    assert request.state == "queued"
    assert [r.id for r in ledger.requests(states=["queued"], model="n")] == [id]
    assert ledger.requests(states=["queued"], model="m") == []
    with pytest.raises(NotAllowed, match="cannot be withdrawn"):
        ledger.withdraw(id, "too late", actor="ada")


def test_a_name_comes_first_and_records_later(
    ledger: Ledger, submission: Make, person_data: Data
) -> None:
    id = ledger.submit(submission(data=None, subject=None, name=NAMES[1]), actor="ada")
    assert ledger.request(id).came_with == {"records": 0, "pictures": 0, "name": 1}
    with pytest.raises(NotAllowed, match="no records"):
        ledger.decide(id, "accept", "fine", actor="ada")
    ledger.attach(id, Data(person_data.folder, person_data.records, {}), actor="ada")
    assert ledger.request(id).came_with == {"records": 2, "pictures": 1, "name": 1}
    with pytest.raises(NotAllowed, match="has its records already"):
        ledger.attach(id, person_data, actor="ada")
    assert ledger.decide(id, "accept", "fine", actor="ada").state == "queued"
    with ledger.unlock(id, actor="ada", reason="to look") as folder:
        assert json.loads((folder / "person.json").read_text())["name"] == NAMES[1]
        assert {record.subject for record in read(folder).records} == {NAMES[1]}
    assert ledger.verify() is None


def test_pages_go_through_all_requests_once_by_deadline(ledger: Ledger, submission: Make) -> None:
    ids = set()
    for number in range(7):
        made = submission(data=None, subject=f"s{number}", received=date(2026, 3, 30 - number % 3))
        ids.add(ledger.submit(made, actor="ada"))
    seen: list[str] = []
    deadlines = []
    while page := ledger.requests(limit=3, after=seen[-1] if seen else None):
        seen += [request.id for request in page]
        deadlines += [request.deadline for request in page]
    assert len(seen) == 7 and set(seen) == ids
    assert deadlines == sorted(deadlines)


def test_refusing_closes_and_shreds(ledger: Ledger, submission: Make) -> None:
    id = ledger.submit(submission(), actor="ada")
    request = ledger.decide(id, "refuse", "art. 17(3)(e), legal claims", actor="ada")
    assert (request.state, request.decision) == ("withdrawn", "refuse")
    assert request.sealed == {"data": "shredded"}


def test_a_reason_may_not_name_the_person(ledger: Ledger, submission: Make) -> None:
    id = ledger.submit(submission(name="V. Lindqvist"), actor="ada")
    for reason in (f"{NAMES[0].lower()} called", "asked for by V. Lindqvist"):
        with pytest.raises(InputError, match="names the person") as refused:
            ledger.withdraw(id, reason, actor="ada")
        assert "indqvist" not in str(refused.value)
    assert ledger.request(id).state == "identified"


def test_a_lapsed_lease_brings_the_same_batch_with_its_steps(
    ledger: Ledger, queue: Queue, opened: Callable[[], Ledger], clock: Clock
) -> None:
    id = queue()
    first = ledger.claim("w1", limit=4, lease_seconds=60)
    assert first is not None and not first.resumed
    ledger.move(id, "forgetting", actor="w1")
    ledger.step(first, "forget", "started", request=id)
    ledger.step(first, "forget", "done", {"run": "runs/1"}, request=id)
    other = opened()
    clock.forward(seconds=61)
    second = other.claim("w2", limit=4, lease_seconds=60)
    assert second is not None and (second.id, second.resumed) == (first.id, True)
    done = second.done("forget", id)
    assert done is not None and done.result == {"run": "runs/1"}
    again = other.step(second, "forget", "done", {"run": "another"}, request=id)
    assert again.result == {"run": "runs/1"}, "what is done is not done twice"
    for call in (
        lambda: ledger.heartbeat(first, "w1", lease_seconds=60),
        lambda: ledger.step(first, "audit", "done"),
        lambda: ledger.move(id, "auditing", actor="w1"),
        lambda: ledger.finish(first, "w1"),
        lambda: ledger.give_back(first, "w1"),
    ):
        with pytest.raises(LeaseLost):
            call()
    other.move(id, "auditing", actor="w2")
    assert ledger.verify() is None


def test_what_is_given_back_is_taken_at_once(ledger: Ledger, queue: Queue) -> None:
    queue()
    first = ledger.claim("w1", limit=4, lease_seconds=60)
    assert first is not None
    ledger.give_back(first, "w1")
    second = ledger.claim("w2", limit=4, lease_seconds=60)
    assert second is not None and second.id == first.id
    assert ledger.heartbeat(second, "w2", lease_seconds=99).lease_until > second.lease_until


def test_a_batch_is_of_one_model_nearest_deadline_first(ledger: Ledger, queue: Queue) -> None:
    ledger.register_model("n", "models/n", HASH, actor="ada")
    late = queue(0)
    soon = queue(1, models=("n",), received=date(2026, 3, 20))
    later = queue(2, models=("n",), received=date(2026, 3, 25))
    batch = ledger.claim("w1", limit=8, lease_seconds=60)
    assert batch is not None
    assert (batch.model.name, [r.id for r in batch.requests]) == ("n", [soon, later])
    with pytest.raises(NotAllowed, match=f"{soon}, {later}|{later}, {soon}"):
        ledger.finish(batch, "w1")
    for id in (soon, later):
        ledger.withdraw(id, "no longer wanted", actor="ada")
    with pytest.raises(NotAllowed, match="is withdrawn"):
        ledger.move(soon, "forgetting", actor="w1")
    assert {r.state for r in ledger.heartbeat(batch, "w1", lease_seconds=9).requests} == {
        "withdrawn"
    }
    ledger.finish(batch, "w1")
    following = ledger.claim("w1", limit=8, lease_seconds=60)
    assert following is not None and [r.id for r in following.requests] == [late]


def test_a_new_base_queues_everything_again(ledger: Ledger, queue: Queue) -> None:
    done, at_work, waiting = queue(0), queue(1), queue(2)
    batch = ledger.claim("w1", limit=1, lease_seconds=60)
    assert batch is not None
    first = batch.requests[0].id
    ledger.move(first, "forgetting", actor="w1")
    ledger.move(first, "auditing", actor="w1")
    ledger.move(first, "passed", actor="w1")
    ledger.finish(batch, "w1")
    put_out(ledger, [first])
    busy = ledger.claim("w1", limit=1, lease_seconds=60)
    assert busy is not None
    ledger.move(busy.requests[0].id, "forgetting", actor="w1")
    assert ledger.register_model("m", "models/m", HASH, actor="ada") == ()
    again = ledger.register_model("m", "models/m2", "99" * 32, actor="ada")
    assert set(again) == {first, busy.requests[0].id}
    assert {ledger.request(id).state for id in (done, at_work, waiting)} == {"queued"}
    assert ledger.current("m") is None
    with pytest.raises(LeaseLost):
        ledger.move(busy.requests[0].id, "auditing", actor="w1")
    with pytest.raises(LeaseLost):
        ledger.heartbeat(busy, "w1", lease_seconds=60)
    fresh = ledger.claim("w1", limit=9, lease_seconds=60)
    assert fresh is not None and len(fresh.requests) == 3 and not fresh.resumed
    assert ledger.verify() is None


def test_a_release_covers_all_before_it_and_only_what_passed(ledger: Ledger, queue: Queue) -> None:
    first, second = queue(0), queue(1)
    with pytest.raises(NotAllowed, match="is queued, expected passed"):
        put_out(ledger, [first])
    through(ledger, [first, second])
    one = put_out(ledger, [first])
    with pytest.raises(Stale):
        put_out(ledger, [first, second])
    with pytest.raises(NotAllowed, match=f"{first}: released before and not in this release"):
        put_out(ledger, [second], after=one.id)
    two = put_out(ledger, [first, second], after=one.id)
    assert [(r.id, r.number, r.state) for r in ledger.releases("m")] == [
        (two.id, 2, "current"),
        (one.id, 1, "superseded"),
    ]


def test_a_rollback_may_keep_what_it_opens_again(ledger: Ledger, queue: Queue) -> None:
    first, second = queue(0), queue(1)
    through(ledger, [first, second])
    one = put_out(ledger, [first, second])
    two = put_out(
        ledger, [first, second], after=one.id, instead_of=one.id, reopen=[second], reason="harm"
    )
    assert two.requests == tuple(sorted([first, second])), "nothing that was erased comes back"
    assert [ledger.request(id).state for id in (first, second)] == ["released", "queued"]
    assert [r.state for r in ledger.releases("m")] == ["current", "rolled back"]
    assert ledger.verify() is None


def test_a_worker_without_its_lease_releases_nothing(
    ledger: Ledger, queue: Queue, clock: Clock
) -> None:
    id = queue(0)
    batch = ledger.claim("w1", limit=1, lease_seconds=60)
    assert batch is not None
    for state in ("forgetting", "auditing", "passed"):
        ledger.move(id, state, actor="w1")  # type: ignore[arg-type]
    clock.forward(seconds=61)
    assert ledger.claim("w2", limit=1, lease_seconds=60) is not None
    with pytest.raises(LeaseLost):
        put_out(ledger, [id], batch=batch)
    assert ledger.current("m") is None and ledger.request(id).state == "passed"


def test_the_desk_knows_who_has_asked_without_knowing_who(ledger: Ledger, submission: Make) -> None:
    id = ledger.submit(submission(0), actor="ada")
    assert ledger.has_asked(f" {NAMES[0].upper()} ", "m")
    assert not ledger.has_asked(NAMES[1], "m") and not ledger.has_asked(NAMES[0], "n")
    ledger.withdraw(id, "no longer wanted", actor="ada")
    assert not ledger.has_asked(NAMES[0], "m")


def test_a_rollback_opens_only_what_is_named(ledger: Ledger, queue: Queue) -> None:
    first, second = queue(0), queue(1)
    through(ledger, [first, second])
    one = put_out(ledger, [first, second])
    with pytest.raises(NotAllowed, match="is not covered"):
        ledger.roll_back(one.id, reopen=["r-000000"], reason="harm", actor="ada")
    for reason, line in ((f"{NAMES[1]} is told again", "names the person"), (" ", "is empty")):
        with pytest.raises(InputError, match=line):
            ledger.roll_back(one.id, reopen=[second], reason=reason, actor="ada")
        with pytest.raises(InputError, match=line):
            put_out(ledger, [first, second], after=one.id, instead_of=one.id, reason=reason)
    ledger.roll_back(one.id, reopen=[second], reason="harm", actor="ada")
    assert ledger.current("m") is None
    assert [ledger.request(id).state for id in (first, second)] == ["released", "queued"]
    two = put_out(ledger, [first], after=one.id)
    three = put_out(ledger, [], after=two.id, instead_of=two.id, reopen=[first], reason="harm")
    assert ledger.request(first).state == "queued"
    assert [r.state for r in ledger.releases("m")] == ["current", "rolled back", "rolled back"]
    assert three.requests == ()
    assert ledger.verify() is None


def test_health_is_kept_in_order(ledger: Ledger) -> None:
    for harm in (0.1, 0.2):
        ledger.record_health("m", {"harm": harm, "broken": float("nan")}, actor="w1")
    assert [h.figures for h in ledger.health("m")] == [
        {"harm": 0.1, "broken": None},
        {"harm": 0.2, "broken": None},
    ]


def test_one_worker_at_a_time_releases(ledger: Ledger, clock: Clock) -> None:
    assert ledger.hold("m", "w1", lease_seconds=60)
    assert ledger.hold("m", "w1", lease_seconds=60)
    assert not ledger.hold("m", "w2", lease_seconds=60)
    ledger.let_go("m", "w1")
    assert ledger.hold("m", "w2", lease_seconds=60)
    clock.forward(seconds=61)
    assert ledger.hold("m", "w1", lease_seconds=60)


def test_keys_are_found_by_their_hash_until_they_are_revoked(ledger: Ledger) -> None:
    key = ledger.add_key("post room", "submitter", "77" * 32, actor="ada")
    assert ledger.key("77" * 32) == key
    with pytest.raises(InputError, match='did you mean "officer"'):
        ledger.add_key("x", "oficer", "78" * 32, actor="ada")
    with pytest.raises(InputError, match="exists already"):
        ledger.add_key("x", "officer", "77" * 32, actor="ada")
    assert ledger.revoke_key(key.id, actor="ada").revoked
    assert ledger.key("77" * 32) is None
    all_keys = ledger.keys()
    assert [k.revoked for k in all_keys] == [True]
    assert ledger.verify() is None


def test_what_does_not_exist_is_named(ledger: Ledger) -> None:
    for call in (
        lambda: ledger.request("r-000000"),
        lambda: ledger.entries("r-000000"),
        lambda: ledger.requests(after="r-000000"),
        lambda: ledger.withdraw("r-000000", "x", actor="ada"),
        lambda: ledger.shred("r-000000", actor="ada", reason="x"),
        lambda: ledger.batch("b-0"),
        lambda: ledger.revoke_key("k-0", actor="ada"),
        lambda: ledger.roll_back("v-0", reopen=[], reason="x", actor="ada"),
        lambda: ledger.requests(model="o"),
    ):
        with pytest.raises(Unknown):
            call()


def test_a_ledger_can_be_opened_again(
    ledger: Ledger, queue: Queue, opened: Callable[[], Ledger], tmp_path: Path
) -> None:
    id = queue()
    ledger.close()
    with opened() as again:
        assert again.request(id).state == "queued"
        assert again.verify() is None
    assert not list((tmp_path / "files").glob("open/*"))
