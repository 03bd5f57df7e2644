"""A kept answer goes out again to those who may have it, and to nobody else."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from excise.desk.console.settings import Rate

if TYPE_CHECKING:
    from fastapi.testclient import TestClient
    from tests.desk.console.conftest import Desk

PATHS = (
    "/api/requests",
    "/api/requests?limit=2",
    "/api/requests/{queued}",
    "/api/requests/{queued}/log",
    "/api/models",
    "/api/models/specimen/health",
    "/api/releases",
    "/api/log",
    "/api/keys",
)
ROLES = ("submitter", "operator", "officer", "auditor")


def seen(client: TestClient, desk: Desk, role: str | None) -> list[tuple[int, str]]:
    answers = [client.get(p.format(**desk.ids), headers=desk.header(role)) for p in PATHS]
    return [(answer.status_code, answer.text) for answer in answers]


def test_what_one_role_was_given_is_given_to_no_other(furnished: Desk) -> None:
    from fastapi.testclient import TestClient

    fresh = {}
    for role in (None, *ROLES):
        with TestClient(furnished.app()) as client:
            fresh[role] = seen(client, furnished, role)
    assert len({str(f) for f in fresh.values()}) >= 4  # roles do differ
    with TestClient(furnished.app()) as client:
        for _ in range(2):
            for role in ("officer", "submitter", None, "operator", "auditor"):
                assert seen(client, furnished, role) == fresh[role]


def test_the_second_answer_is_the_first_one_again(furnished: Desk) -> None:
    from fastapi.testclient import TestClient

    with TestClient(furnished.app()) as client:
        header = furnished.header("officer")
        first, second = (client.get("/api/requests?limit=3", headers=header) for _ in range(2))
    assert second.content == first.content
    assert dict(second.headers) == dict(first.headers)


def test_it_was_not_made_a_second_time(furnished: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastapi.testclient import TestClient

    from excise.desk.ledger import Ledger

    calls, requests = [], Ledger.requests

    def counted(ledger: Ledger, **asked: object) -> object:
        calls.append(asked)
        return requests(ledger, **asked)  # type: ignore[arg-type]

    monkeypatch.setattr(Ledger, "requests", counted)
    with TestClient(furnished.app()) as client:
        for _ in range(5):
            client.get("/api/requests", headers=furnished.header("officer"))
        client.get("/api/requests", headers=furnished.header("auditor"))
    assert len(calls) == 2  # once for each role


def test_a_revoked_key_is_given_nothing_that_is_kept(desk: Desk) -> None:
    from fastapi.testclient import TestClient

    with TestClient(desk.app()) as client, desk.open() as ledger:
        header = desk.header("operator")
        codes = [client.get("/api/requests", headers=header).status_code for _ in range(2)]
        ledger.revoke_key(desk.key_ids["operator"], actor="ada")
        codes.append(client.get("/api/requests", headers=header).status_code)
        wrong = {"authorization": "Bearer excise-key-guess"}
        client.get("/api/requests", headers=desk.header("officer"))
        codes.append(client.get("/api/requests", headers=wrong).status_code)
    assert codes == [200, 200, 401, 401]


def test_what_is_kept_costs_a_token_each_time(furnished: Desk) -> None:
    from fastapi.testclient import TestClient

    with TestClient(furnished.app(by_key=Rate(per_minute=6, burst=3))) as client:
        header = furnished.header("officer")
        answers = [client.get("/api/requests", headers=header) for _ in range(4)]
    assert [a.status_code for a in answers] == [200, 200, 200, 429]
    assert "retry-after" in answers[-1].headers


def test_the_log_names_the_route_and_the_key_of_a_kept_answer(
    furnished: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    from fastapi.testclient import TestClient

    caplog.set_level(logging.INFO, logger="excise.desk")
    path = f"/api/requests/{furnished.ids['queued']}"
    with TestClient(furnished.app()) as client:
        for _ in range(2):
            client.get(path, headers=furnished.header("officer"))
    lines = [r.getMessage() for r in caplog.records if r.name == "excise.desk"]
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("GET /api/requests/{request_id} 200")
        assert line.endswith(furnished.key_ids["officer"])


def test_a_request_that_moves_is_shown_as_it_is_in_every_answer(desk: Desk) -> None:
    """The list, the request, its log, the counts: after each change, each as made anew."""
    from fastapi.testclient import TestClient

    with TestClient(desk.app()) as client, desk.open() as ledger:
        for change in (
            lambda: ledger.withdraw(desk.ids["queued"], "no longer wanted", actor="ada"),
            lambda: ledger.record_health("specimen", {"kept.memory": 0.5}, actor="ada"),
            lambda: ledger.register_model("specimen", "models/specimen", "cd" * 32, actor="ada"),
            lambda: ledger.revoke_key(desk.key_ids["operator"], actor="ada"),
        ):
            seen(client, desk, "officer")
            change()
            kept = seen(client, desk, "officer")
            with TestClient(desk.app()) as other:
                assert kept == seen(other, desk, "officer")
