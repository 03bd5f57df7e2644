"""Every route with every role and none: exactly what the table in the docs says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fastapi.testclient import TestClient
    from tests.desk.console.conftest import Desk

DOCS = Path(__file__).parents[3] / "docs" / "desk-console.md"
COLUMNS = ("none", "submitter", "operator", "officer", "auditor")


def table() -> dict[str, dict[str, str]]:
    """{"GET /api/me": {"none": "no", ...}} as the docs have it."""
    rows = {}
    for line in DOCS.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if re.fullmatch(r"`(GET|POST) /\S*`", cells[0]):
            rows[cells[0].strip("`")] = dict(zip(COLUMNS, cells[1:], strict=True))
    return rows


TABLE = table()


@contextmanager
def logged_in(desk: Desk) -> Iterator[dict[str, TestClient]]:
    """One browser a role."""
    from fastapi.testclient import TestClient

    from excise.desk.console import live

    app, was = desk.app(), live.LONGEST
    live.LONGEST = 0.0  # a stream that ends at once
    with TestClient(app, follow_redirects=False):
        made = {}
        for role in COLUMNS:
            made[role] = TestClient(app, follow_redirects=False)
            if role != "none":
                login = made[role].post("/login", data={"key": desk.tokens[role]})
                assert login.status_code == 303
        yield made
    live.LONGEST = was


@pytest.fixture(scope="module")
def clients(furnished: Desk) -> Iterator[dict[str, TestClient]]:
    with logged_in(furnished) as made:
        yield made


def outcome(
    clients: dict[str, TestClient], desk: Desk, route: str, role: str, request: str
) -> tuple[int, str]:
    """Status and place of one call, which carries no valid body, so that it changes nothing."""
    method, path = route.split()
    client = clients[role]
    path = path.replace("{request_id}", request).replace("{model}", "specimen")
    path = path.replace("/static", "/static/console.css")
    form = {}
    if method == "POST" and role != "none" and not path.startswith("/api"):
        page = client.get("/requests").text
        form["form_token"] = re.search(r'name="form_token" value="([^"]+)"', page)[1]  # type: ignore[index]
    headers = desk.header(None if role == "none" else role) if path.startswith("/api") else {}
    if route == "POST /requests":
        answer = client.post(path, data=form, files={"records": ("r.jsonl", b"")})
    elif route == "POST /login":
        answer = client.post(path, data={"key": desk.tokens.get(role, desk.tokens["officer"])})
    elif path.startswith("/api"):
        answer = client.request(method, path, headers=headers)
    else:
        answer = client.request(method, path, data=form or None)
    if route in ("POST /logout", "POST /login") and role != "none":
        client.post("/login", data={"key": desk.tokens[role]})
    if route == "POST /login" and role == "none":
        client.cookies.clear()
    return answer.status_code, answer.headers.get("location", "")


def test_the_table_has_every_route(furnished: Desk) -> None:
    from starlette.routing import Route

    from excise.desk.console import api, live, pages

    routes = [
        *furnished.app().routes,
        *api.router.routes,
        *live.router.routes,
        *pages.router.routes,
    ]
    found = {
        f"{method} {route.path}"
        for route in routes
        if isinstance(route, Route)
        for method in route.methods or ()
        if method != "HEAD"
    }
    assert set(TABLE) == {*found, "GET /static"}


def keeps_to_the_table(clients: dict[str, TestClient], desk: Desk, route: str, role: str) -> None:
    own, others = desk.ids["released"], desk.ids["queued"]
    expected = TABLE[route][role]
    status, place = outcome(clients, desk, route, role, own)
    if expected == "no":
        assert status == (401 if role == "none" else 403)
    elif expected == "login":
        assert (status, place) == (303, "/login")
    else:
        assert expected in ("yes", "own")
        assert status not in (401, 403, 404, 405, 500)
        assert place != "/login" or route == "POST /logout"
        if expected == "own":
            status, _ = outcome(clients, desk, route, role, others)
            assert status in ((404,) if "withdrawal" not in route else (400, 404, 422))


@pytest.mark.parametrize("role", COLUMNS)
@pytest.mark.parametrize("route", TABLE)
def test_a_role_may_what_the_table_says(
    clients: dict[str, TestClient], furnished: Desk, route: str, role: str
) -> None:
    keeps_to_the_table(clients, furnished, route, role)


def test_a_submitter_cannot_take_back_somebody_elses_request(furnished: Desk) -> None:
    from fastapi.testclient import TestClient

    with TestClient(furnished.app()) as client:
        answer = client.post(
            f"/api/requests/{furnished.ids['queued']}/withdrawal",
            headers=furnished.header("submitter"),
            json={"reason": "the person wrote"},
        )
    assert answer.status_code == 404
    with furnished.open() as ledger:
        assert ledger.request(furnished.ids["queued"]).state == "queued"
