"""Answers are given again exactly as long as they are true."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from excise.desk.console import kept as room
from excise.desk.console.kept import Kept
from excise.desk.console.settings import Settings
from excise.desk.console.state import Console
from excise.desk.errors import Unknown
from excise.desk.ledger import Entry

if TYPE_CHECKING:
    from tests.desk.console.conftest import Desk


def entry(request: str | None) -> Entry:
    return Entry(1, datetime.now(UTC), "ada", "x", request, {}, "", "")


@pytest.fixture
def kept() -> Kept:
    made = Kept()
    made.put("a", b"1", "r-a")
    made.put("b", b"2", "r-b")
    made.put("list", b"3", None)
    return made


def test_an_entry_about_one_request_leaves_the_others(kept: Kept) -> None:
    kept.changed([entry("r-a")])
    assert ["a" in kept, "b" in kept, "list" in kept] == [False, True, False]


def test_an_entry_about_no_request_takes_everything(kept: Kept) -> None:
    kept.changed([entry("r-a"), entry(None)])
    assert not any(name in kept for name in ("a", "b", "list"))


def test_it_never_holds_more_than_it_may(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST", 100)
    for number in range(100):
        kept.put(number, b"x" * 40, None)
    assert sum(number in kept for number in range(100)) <= 2


def test_a_change_by_another_process_is_seen_by_the_next_who_asks(desk: Desk) -> None:
    from fastapi.testclient import TestClient

    one, other = desk.ids["queued"], desk.ids["identified"]
    with TestClient(desk.app()) as client, desk.open() as ledger:
        header = desk.header("auditor")

        def states() -> tuple[str, str, list[str]]:
            read = [client.get(f"/api/requests/{id}", headers=header).json() for id in (one, other)]
            listed = client.get("/api/requests", headers=header).json()["requests"]
            return read[0]["state"], read[1]["state"], sorted(r["state"] for r in listed)

        assert states()[:2] == ("queued", "identified")
        before = client.get(f"/api/requests/{other}/log", headers=header).json()
        ledger.decide(other, "accept", "no exception applies", actor="ada")
        assert states()[:2] == ("queued", "queued")
        after = client.get(f"/api/requests/{other}/log", headers=header).json()
        assert len(after) == len(before) + 1
        batch = ledger.claim("w1", limit=4, lease_seconds=60, model="specimen")
        assert batch is not None
        for request in batch.requests:
            ledger.move(request.id, "forgetting", actor="w1", model=batch.model.name)
        assert states()[0] == "forgetting"
        assert "forgetting" in states()[2]


def console_of(desk: Desk) -> Console:
    return Console(desk.open(), Settings())


def test_an_answer_made_while_the_ledger_moves_is_not_kept(desk: Desk) -> None:
    """It was read before the change, and is ready only after the console has learnt of it."""
    read, learnt = threading.Event(), threading.Event()

    async def run() -> tuple[str, str]:
        console, id = console_of(desk), desk.ids["identified"]

        def make() -> str:
            state = console.ledger.request(id).state
            read.set()
            assert learnt.wait(10)
            return state

        await console.look()
        early = asyncio.create_task(console.answer("state", make, id))
        await asyncio.to_thread(read.wait, 10)
        with desk.open() as ledger:
            ledger.decide(id, "accept", "no exception applies", actor="ada")
        await console.look()
        late = asyncio.create_task(console.answer("state", make, id))
        learnt.set()
        found = await early, await late
        console.ledger.close()
        return found

    assert asyncio.run(run()) == ("identified", "queued")


def test_keys_and_answers_change_together_with_the_head(desk: Desk) -> None:
    """Nothing old can be kept between the news and the head that goes with them."""

    async def run() -> list[str]:
        console, id = console_of(desk), desk.ids["identified"]
        await console.look()
        slow, keys = threading.Event(), console.ledger.keys

        def slowly() -> object:
            slow.set()
            time.sleep(0.1)
            return keys()

        console.ledger.keys = slowly  # type: ignore[method-assign, assignment]
        old = console.ledger.request(id).state
        with desk.open() as ledger:
            ledger.decide(id, "accept", "no exception applies", actor="ada")
        looking = asyncio.create_task(console.look())
        await asyncio.to_thread(slow.wait, 10)
        stale = await console.answer("state", lambda: old, id)  # asked before the look's end
        await looking
        now = await console.answer("state", lambda: console.ledger.request(id).state, id)
        console.ledger.close()
        return [stale, now]

    assert asyncio.run(run()) == ["identified", "queued"]


def test_another_ledger_in_the_same_place_takes_everything(desk: Desk) -> None:
    async def run() -> object:
        console = console_of(desk)
        await console.look()
        await console.answer("a", lambda: b"old", desk.ids["failed"])
        count = int(console.head.partition(":")[0])
        console.head = f"{count - 1}:{'ab' * 32}"  # what follows has another entry before it
        await console.look()
        console.ledger.close()
        return console.kept("a")

    assert asyncio.run(run()) is None


def test_what_many_wait_for_is_made_once_and_mistakes_stay_with_their_own(desk: Desk) -> None:
    async def run() -> tuple[list[object], int]:
        console, calls = console_of(desk), []

        def make() -> bytes:
            calls.append(1)
            return b"x"

        def fail() -> bytes:
            raise Unknown("no such thing")

        await console.look()
        waiting = [console.answer("a", make) for _ in range(40)]
        waiting += [console.answer(f"wrong {n}", fail) for n in range(3)]
        found = await asyncio.gather(*waiting, return_exceptions=True)
        again = await asyncio.gather(console.answer("wrong 0", fail), return_exceptions=True)
        console.ledger.close()
        return [*found, *again], len(calls)

    found, calls = asyncio.run(run())
    assert calls == 1
    assert found[:40] == [b"x"] * 40
    assert all(isinstance(error, Unknown) for error in found[40:])
