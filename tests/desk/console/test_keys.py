"""Keys: hashed at rest, shown once, compared whole, ended at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.desk.console.conftest import Desk


def test_no_file_of_the_desk_holds_a_key(furnished: Desk) -> None:
    stored = b"".join(p.read_bytes() for p in furnished.folder.rglob("*") if p.is_file())
    for token in furnished.tokens.values():
        assert token.encode() not in stored
        assert token.removeprefix("excise-key-").encode() not in stored


def test_a_key_is_random_and_carries_a_prefix_that_scanners_find(furnished: Desk) -> None:
    assert len(set(furnished.tokens.values())) == 4
    for token in furnished.tokens.values():
        assert token.startswith("excise-key-")
        assert len(token) >= len("excise-key-") + 43  # 32 bytes in base64


def test_only_the_whole_key_is_found(furnished: Desk) -> None:
    from excise.desk.console.keys import find

    with furnished.open() as ledger:
        keys, token = ledger.keys(), furnished.tokens["officer"]
    assert find(keys, token).id == furnished.key_ids["officer"]  # type: ignore[union-attr]
    for wrong in ("", token[:-1], token + "a", token.swapcase(), "excise-key-", "\ud800"):
        assert find(keys, wrong) is None


def test_an_unknown_role_is_one_line_with_a_hint(desk: Desk) -> None:
    from excise.desk.console.keys import issue
    from excise.records.errors import InputError

    with desk.open() as ledger, pytest.raises(InputError, match='did you mean "officer"') as said:
        issue(ledger, "x", "oficer", actor="setup")
    assert "\n" not in str(said.value)


def test_a_revoked_key_ends_at_the_next_request_and_its_session_with_it(desk: Desk) -> None:
    from fastapi.testclient import TestClient

    with TestClient(desk.app(), follow_redirects=False) as client:
        header = desk.header("auditor")
        client.post("/login", data={"key": desk.tokens["auditor"]})
        assert client.get("/api/me", headers=header).status_code == 200
        assert client.get("/requests").status_code == 200
        with desk.open() as ledger:
            ledger.revoke_key(desk.key_ids["auditor"], actor="setup")
        assert client.get("/api/me", headers=header).status_code == 401
        assert client.get("/requests").headers["location"] == "/login"


def test_what_a_key_does_is_logged_under_its_id_and_never_by_itself(desk: Desk) -> None:
    from fastapi.testclient import TestClient

    id = desk.ids["identified"]
    with TestClient(desk.app()) as client:
        answer = client.post(
            f"/api/requests/{id}/decision",
            headers=desk.header("officer"),
            json={"decision": "accept", "reason": "no exception applies"},
        )
    assert answer.json()["state"] == "queued"
    with desk.open() as ledger:
        last = ledger.entries(id)[-1]
        assert (last.kind, last.actor) == ("request.decided", desk.key_ids["officer"])
        assert ledger.verify() is None
