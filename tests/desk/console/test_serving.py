"""Listening: where, for whom, and what is refused in one line."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from excise.desk.console.serving import Listening, is_loopback, run
from excise.records.errors import InputError

if TYPE_CHECKING:
    from tests.desk.console.conftest import Desk

SERVE = "import sys; from excise.desk.console.serving import *; "


def keyless(folder: Path) -> str:
    from excise.desk.ledger import Ledger

    url = f"sqlite:///{folder / 'new.db'}"
    Ledger.init(url).close()
    return url


def said(_: str) -> None:
    raise AssertionError("it listened")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.9.1"])
def test_loopback_is_this_machine_alone(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "desk.example", ""])
def test_anything_else_is_not(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "listening",
    [
        Listening("0.0.0.0", 0, ("desk.example",)),
        Listening("::", 0, ("desk.example",)),
        Listening("127.0.0.1", 0, proxy="127.0.0.1"),  # others reach it by the proxy
    ],
)
def test_nobody_else_can_reach_a_console_without_keys(tmp_path: Path, listening: Listening) -> None:
    with pytest.raises(InputError, match="there are no keys.*excise desk key add"):
        run(listening, keyless(tmp_path), say=said)


def test_revoked_keys_are_no_keys(tmp_path: Path) -> None:
    from excise.desk.console.keys import issue
    from excise.desk.ledger import Ledger

    url = keyless(tmp_path)
    with Ledger.open(url) as ledger:
        made, _ = issue(ledger, "x", "officer", actor="setup")
        ledger.revoke_key(made.id, actor="setup")
    with pytest.raises(InputError, match="there are no keys"):
        run(Listening("0.0.0.0", 0, ("desk.example",)), url, say=said)


def test_wrong_options_are_one_line(tmp_path: Path) -> None:
    url = keyless(tmp_path)
    for listening, reason in (
        (Listening("0.0.0.0", 0), "--name: missing"),
        (Listening(tls_cert=tmp_path / "c.pem"), "--tls-cert: expected together"),
        (Listening(tls_cert=tmp_path / "c.pem", tls_key=tmp_path / "k.pem"), "no such file"),
        (Listening("192.0.2.7", 0, ("x",)), "there are no keys"),
    ):
        with pytest.raises(InputError, match=reason):
            run(listening, url, say=said)
    with pytest.raises(InputError):
        run(Listening(port=0), f"sqlite:///{tmp_path / 'none.db'}", say=said)


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"--port {port}: cannot listen there"):
            run(Listening(port=port), keyless(tmp_path), say=said)


def test_a_console_serves_logs_and_ends(desk: Desk) -> None:
    code = SERVE + f"run(Listening(port=0), {desk.url!r}, say=lambda s: print(s, flush=True))"
    server = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert server.stdout is not None
        found = re.fullmatch(r"console: http://127\.0\.0\.1:(\d+)/\n", server.stdout.readline())
        assert found is not None
        client = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=20)
        client.request("GET", "/api/requests?limit=7", headers=desk.header("officer"))
        answer = client.getresponse()
        assert answer.status == 200 and b"person-" in answer.read()
        assert answer.getheader("server") is None
        client.request("GET", "/login", headers={"Host": "rebound.example"})
        assert client.getresponse().status == 400
        client.close()
    finally:
        server.send_signal(signal.SIGINT)
        _, log = server.communicate(timeout=30)
    assert re.search(r"GET /api/requests 200 \d+ ms k-\w+", log)
    assert "limit" not in log and "127.0.0.1" not in log and "Traceback" not in log
