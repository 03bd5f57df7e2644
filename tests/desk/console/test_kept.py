"""Answers are given again exactly as long as they are true."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from excise.desk.console import kept as room
from excise.desk.console.kept import Kept
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
