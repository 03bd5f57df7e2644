"""How often and how much: buckets by key and address, bodies by size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from excise.desk.console import limits
from excise.desk.console.limits import Buckets, address
from excise.desk.console.settings import Rate

if TYPE_CHECKING:
    from tests.desk.console.conftest import Desk


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    clock = Clock()
    buckets = Buckets(Rate(per_minute=60, burst=3), clock)
    assert [buckets.wait("a") for _ in range(3)] == [0, 0, 0]
    assert buckets.wait("a") == pytest.approx(1.0)
    assert buckets.wait("b") == 0
    clock.now += 1.0
    assert buckets.wait("a") == 0
    assert buckets.wait("a") > 0


def test_the_names_of_a_flood_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PLACES", 10)
    buckets = Buckets(Rate(60, 3), Clock())
    for number in range(100):
        buckets.wait(str(number))
    assert len(buckets._held) == 10


def test_a_house_has_one_bucket_for_all_its_ipv6_addresses() -> None:
    one, two = ({"client": (f"2001:db8:1:2::{n}", 1)} for n in (1, 2))
    assert address(one) == address(two)
    assert address({"client": ("192.0.2.1", 1)}) != address({"client": ("192.0.2.2", 1)})


def test_a_key_that_asks_too_often_is_told_when_to_come_again(furnished: Desk) -> None:
    from fastapi.testclient import TestClient

    app = furnished.app(by_key=Rate(per_minute=6, burst=2))
    with TestClient(app) as client:
        officer, auditor = furnished.header("officer"), furnished.header("auditor")
        codes = [client.get("/api/me", headers=officer).status_code for _ in range(3)]
        late = client.get("/api/me", headers=officer)
        other = client.get("/api/me", headers=auditor)
    assert codes == [200, 200, 429]
    assert 1 <= int(late.headers["retry-after"]) <= 10
    assert other.status_code == 200


def test_an_address_that_asks_too_often_is_refused_with_any_key(furnished: Desk) -> None:
    from fastapi.testclient import TestClient

    with TestClient(furnished.app(by_address=Rate(per_minute=6, burst=3))) as client:
        codes = [client.get("/login").status_code for _ in range(4)]
        last = client.get("/api/me", headers=furnished.header("officer"))
    assert codes == [200, 200, 200, 429]
    assert last.status_code == 429
    assert last.headers["x-content-type-options"] == "nosniff"


def test_guessing_keys_is_slow(furnished: Desk) -> None:
    from fastapi.testclient import TestClient

    with TestClient(furnished.app(wrong_keys=Rate(per_minute=1, burst=2))) as client:
        wrong = {"authorization": "Bearer excise-key-guess"}
        codes = [client.get("/api/me", headers=wrong).status_code for _ in range(3)]
        form = client.post("/login", data={"key": "excise-key-guess"})
        right = client.get("/api/me", headers=furnished.header("officer"))
    assert codes == [401, 401, 429]
    assert form.status_code == 429
    assert right.status_code == 200


def test_a_body_is_refused_by_its_declared_length_before_it_is_read(furnished: Desk) -> None:
    from fastapi.testclient import TestClient

    with TestClient(furnished.app(largest_upload=1000)) as client:

        def never() -> object:
            raise AssertionError("the body was read")
            yield b""

        answer = client.post(
            "/api/requests",
            headers={**furnished.header("officer"), "content-length": "1001"},
            content=never(),
        )
    assert answer.status_code == 413


def test_a_body_without_a_length_is_cut_off_at_the_limit(furnished: Desk) -> None:
    import asyncio

    app = furnished.app(largest_upload=1000)
    token, came, sent = furnished.tokens["officer"], 0, []

    async def receive() -> dict[str, object]:
        nonlocal came
        head = b"" if came else b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
        came += 400
        return {"type": "http.request", "body": head.ljust(400, b"x"), "more_body": True}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
        "scheme": "http", "path": "/api/requests", "raw_path": b"/api/requests",
        "query_string": b"", "root_path": "", "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
        "headers": [
            (b"host", b"testserver"), (b"authorization", f"Bearer {token}".encode()),
            (b"content-type", b"multipart/form-data; boundary=b"),
        ],
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 413
    assert came <= 1600


def test_an_ordinary_body_may_not_be_large(furnished: Desk) -> None:
    from fastapi.testclient import TestClient

    id = furnished.ids["queued"]
    with TestClient(furnished.app()) as client:
        answer = client.post(
            f"/api/requests/{id}/withdrawal",
            headers=furnished.header("officer"),
            json={"reason": "x" * 70_000},
        )
    assert answer.status_code == 413
