"""The console over PostgreSQL: every role at every route, and every route doing its work."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from tests.desk.console.conftest import PEOPLE, data_of, fail, furnish
from tests.desk.console.test_roles import COLUMNS, TABLE, keeps_to_the_table, logged_in

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi.testclient import TestClient
    from httpx import Response
    from tests.desk.conftest import Postgres
    from tests.desk.console.conftest import Desk


@pytest.fixture(scope="module")
def desk(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with postgres.database() as url:
        yield furnish(tmp_path_factory.mktemp("postgresql"), url)


@pytest.fixture(scope="module")
def clients(desk: Desk) -> Iterator[dict[str, TestClient]]:
    with logged_in(desk) as made:
        yield made


class Officer:
    """Calls routes by their names in the table, and remembers which."""

    def __init__(self, client: TestClient, desk: Desk) -> None:
        self.client, self.header = client, desk.header("officer")
        self.called: set[str] = set()
        page = client.get("/requests").text
        self.token = re.search(r'name="form_token" value="([^"]+)"', page)[1]  # type: ignore[index]

    def __call__(self, route: str, id: str = "", *, status: int = 200, **given: Any) -> Response:
        """The answer; `given` is a form's fields or a body's, with `files` beside them."""
        self.called.add(route)
        method, path = route.split()
        path = path.replace("{request_id}", id).replace("{model}", "specimen")
        path = path.replace("/static", "/static/console.css")
        files, form = given.pop("files", None), not path.startswith("/api") or "models" in given
        if form and method == "POST":
            given["form_token"] = self.token
        answer = self.client.request(
            method, path, headers=self.header if path.startswith("/api") else {}, files=files,
            **({"data": given} if form else {"json": given}) if given else {},
        )  # fmt: skip
        assert answer.status_code == status, (route, answer.text)
        return answer


def test_a_role_may_what_the_table_says(clients: dict[str, TestClient], desk: Desk) -> None:
    for route in TABLE:
        for role in COLUMNS:
            keeps_to_the_table(clients, desk, route, role)


def test_every_route_does_its_work(
    clients: dict[str, TestClient], desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from excise.desk.console import live

    monkeypatch.setattr(live, "EVERY", 0.01)
    monkeypatch.setattr(live, "LONGEST", 0.2)
    officer = Officer(clients["officer"], desk)
    reads(officer, desk)
    for number, api in enumerate(("/api", "")):
        person = f"Olga Brenn {number}"
        data_of(person, tmp_path / person)
        writes(officer, desk, tmp_path / person, api)
    assert officer("POST /api/verify").json()["whole"] is True
    assert "Whole: every entry" in officer("POST /verify").text
    officer("POST /logout", status=303)
    officer("POST /login", status=303, key=desk.tokens["officer"])
    assert officer.called == {*TABLE}


def reads(officer: Officer, desk: Desk) -> None:
    """Everything that shows, with what furnishing put there."""
    released = desk.ids["released"]
    found = officer("GET /api/requests").json()["requests"]
    assert {one["id"] for one in found} == {*desk.ids.values()}
    assert [one["deadline"] for one in found] == sorted(one["deadline"] for one in found)
    order = re.findall(r'<a href="/requests/(r-\w+)">', officer("GET /requests").text)
    assert order == [one["id"] for one in found if one["id"] != released]
    one = officer("GET /api/requests/{request_id}", released).json()
    assert (one["state"], one["parts"][0]["figures"]["leak.any"]["high"]) == ("released", 0.06)
    page = officer("GET /requests/{request_id}", released).text
    assert "Download the evidence" in page and "Shredded" in page
    events = officer("GET /requests/{request_id}/live", desk.ids["queued"]).text
    assert events.startswith("event: changed") and "Queued" in events
    for place in ("/api/requests", "/requests"):
        answer = officer(f"GET {place}/{{request_id}}/evidence/{{model}}", released)
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.namelist() == ["audit.json", "evidence.json"]
    assert "How many circles" in officer("GET /requests/{request_id}/answers", released).text
    log = officer("GET /api/log").json()
    assert [e["number"] for e in log["entries"]] == list(range(1, len(log["entries"]) + 1))
    assert log["head"] in officer("GET /log").text
    own = officer("GET /api/requests/{request_id}/log", released).json()
    assert own == [e for e in log["entries"] if e["request"] == released]
    assert {m["name"] for m in officer("GET /api/models").json()} == {"specimen", "clinic-7b"}
    assert "covers 1 request" in officer("GET /models").text
    health = officer("GET /api/models/{model}/health").json()
    assert [h["number"] for h in health] == [1, 2, 3, 4, 5]
    assert officer("GET /models/{model}").text.count("<svg") >= 4
    assert [r["requests"] for r in officer("GET /api/releases").json()] == [[released]]
    assert officer("GET /api/batches").json() == []
    assert {k["role"] for k in officer("GET /api/keys").json()} == {*COLUMNS} - {"none"}
    assert desk.key_ids["auditor"] in officer("GET /keys").text
    assert officer("GET /api/me").json()["role"] == "officer"
    officer("GET /", status=303)
    for name in ("login", "docs", "openapi.json", "requests/new", "static"):
        officer(f"GET /{name}")


def writes(officer: Officer, desk: Desk, data: Path, api: str) -> None:
    """A request from its form to its withdrawal, and one that failed tried again."""
    files = [
        ("records", ("records.jsonl", (data / "records.jsonl").read_bytes())),
        ("pictures", ("1.png", (data / "images" / "1.png").read_bytes())),
    ]
    made, done = (201, 200) if api else (303, 303)
    answer = officer(f"POST {api}/requests", files=files, models="specimen", status=made)
    id = answer.json()["id"] if api else re.findall(r"r-\w+", answer.headers["location"])[0]

    def does(what: str, request: str = id, **given: Any) -> str:
        """The state that it leads to."""
        officer(f"POST {api}/requests/{{request_id}}/{what}", request, status=done, **given)
        return str(officer("GET /api/requests/{request_id}", request).json()["state"])

    assert does("identify", reason="passport shown") == "identified"
    if not api:
        unlock = "POST /requests/{request_id}/unlock"
        assert "In Riga." in officer(unlock, id, reason="the person asks").text
    assert does("decision", decision="accept", reason="no exception applies") == "queued"
    assert does("extension", months=1, reason="many at once") == "queued"
    assert does("withdrawal", reason="the person wrote") == "withdrawn"
    with desk.open() as ledger:
        for other in ledger.requests(states=["queued"]):
            ledger.withdraw(other.id, "out of the way", actor="setup")
    assert does("retry", desk.ids["failed"], reason="gentler settings") == "queued"
    with desk.open() as ledger:
        fail(ledger, desk.ids["failed"])
    for page in ("/requests", f"/requests/{id}"):
        assert not any(name in officer.client.get(page).text for name in (*PEOPLE, data.name))
