"""The desk's console under readers: 1,000 requests in an SQLite ledger, 50 clients over HTTP.

The console runs as it does for users, in a process of its own; the clients, in this one, each keep
one connection and ask again as soon as they are answered, which is harder than people are. What
they ask is a seeded mix of what the API shows. Meanwhile somebody writes, so that answers which are
kept have to be made anew. The goal: 95 of 100 answers within 100 ms, and no error.

    python benchmarks/desk_http.py [--requests 1000] [--clients 50] [--seconds 20] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

GOAL_MS = 100.0
QUIET = 0.6  # of a machine's cores: with more at work before the start, nothing is judged
HOST = "127.0.0.1"
STATES = ("received", "queued", "failed", "released")
SERVER = """
import sys
from excise.desk.console import serving, settings
free = settings.Rate(1e9, 10**9)
settings.Settings.__init__.__defaults__ = tuple(
    free if isinstance(d, settings.Rate) else d for d in settings.Settings.__init__.__defaults__
)

serving.run(serving.Listening(port=0), sys.argv[1], say=lambda line: print(line, flush=True))
"""


@dataclass
class Measured:
    """Milliseconds by what was asked, and what was not answered with 200."""

    took: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


def fill(folder: Path, count: int) -> tuple[str, str, list[str]]:
    """A ledger with so many requests in it; its URL, an officer's key, the ids."""
    from excise.desk.console.keys import issue
    from excise.desk.ledger import Ledger, Submission

    url = f"sqlite:///{folder / 'desk.db'}"
    ledger = Ledger.init(url)
    ledger.register_model("m", "models/m", "ab" * 32, actor="benchmark")
    _, token = issue(ledger, "readers", "officer", actor="benchmark")
    today, ids = datetime.now(UTC).date(), []
    for number in range(count):
        received = today - timedelta(days=number % 28)
        given = Submission(models=("m",), name=f"person {number}", received=received)
        ids.append(ledger.submit(given, actor="benchmark"))
    for number in range(20):
        ledger.record_health("m", {"kept.memory": 1 - number / 400}, actor="benchmark")
    ledger.close()
    return url, token, ids


class Client:
    """One connection that speaks as much HTTP as is needed; httpx alone would fill a core."""

    def __init__(self, port: int, headers: str) -> None:
        self._port, self._headers = port, headers

    async def __aenter__(self) -> Client:
        self._in, self._out = await asyncio.open_connection(HOST, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._out.close()

    async def get(self, path: str) -> int:
        """The status; the body is read and left."""
        lines = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{self._headers}\r\n\r\n"
        self._out.write(lines.encode())
        head = (await self._in.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(
            int(line.split(":")[1]) for line in head.split("\r\n") if "content-length:" in line
        )
        await self._in.readexactly(length)
        return int(head.split()[1])


def paths(ids: list[str], seed: int) -> list[tuple[str, str]]:
    """What one reader asks, by name, in a drawn order."""
    rng = random.Random(f"readers-{seed}")
    asked = []
    for _ in range(20):
        asked += [
            ("api list", "/api/requests"),
            ("api list", "/api/requests"),
            ("api list, one state", f"/api/requests?state={rng.choice(STATES)}"),
            ("api list, later page", f"/api/requests?after={rng.choice(ids)}"),
            ("api health", "/api/models/m/health"),
            ("api history", f"/api/requests/{rng.choice(ids)}/log"),
        ]
        asked += [("api request", f"/api/requests/{rng.choice(ids)}") for _ in range(4)]
    rng.shuffle(asked)
    return asked


async def read(
    port: int, token: str, ids: list[str], seed: int, over: float, out: Measured
) -> None:
    asked, number = paths(ids, seed), 0
    async with Client(port, f"Authorization: Bearer {token}") as client:
        while time.perf_counter() < over:
            name, path = asked[number % len(asked)]
            number += 1
            started = time.perf_counter()
            status = await client.get(path)
            out.took.setdefault(name, []).append((time.perf_counter() - started) * 1000)
            if status != 200:
                out.errors.append(f"{path} {status}")


async def write(url: str, over: float, every: float) -> int:
    """Hand requests in meanwhile; how many."""
    from excise.desk.ledger import Ledger, Submission

    ledger, count = Ledger.open(url), 0
    while time.perf_counter() < over:
        given = Submission(models=("m",), name=f"writer {count}", received=date.today())
        await asyncio.to_thread(ledger.submit, given, actor="benchmark")
        count += 1
        await asyncio.sleep(every)
    ledger.close()
    return count


async def measure(url: str, token: str, ids: list[str], port: int, options: Any) -> Measured:
    out = Measured()
    over = time.perf_counter() + options.seconds
    readers = [read(port, token, ids, n, over, out) for n in range(options.clients)]
    if options.write_every:
        readers.append(write(url, over, options.write_every))  # type: ignore[arg-type]
    await asyncio.gather(*readers)
    return out


def at(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def processor_seconds(pid: int) -> float:
    """What a process has used so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def figures(out: Measured, options: Any, load: float, processor: float) -> dict[str, Any]:
    every = [ms for values in out.took.values() for ms in values]
    p95, busy = at(every, 0.95), load > QUIET * (os.cpu_count() or 1)
    return {
        "requests": options.requests,
        "clients": options.clients,
        "seconds": options.seconds,
        "write_every": options.write_every,
        "answers": len(every),
        "answers_per_second": len(every) / options.seconds,
        "errors": len(out.errors),
        "p50_ms": at(every, 0.5),
        "p95_ms": p95,
        "p99_ms": at(every, 0.99),
        "by_route": {
            name: {"n": len(v), "p50_ms": at(v, 0.5), "p95_ms": at(v, 0.95)}
            for name, v in sorted(out.took.items())
        },
        "goal_ms": GOAL_MS,
        "server_processor_ms": 1000 * processor / max(1, len(every)),
        "verdict": "pass"
        if p95 <= GOAL_MS and not out.errors
        else "not judged, the machine was busy"
        if busy and not out.errors
        else "MISS",
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "load_before": load,
        },
        "python": platform.python_version(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument(
        "--write-every", type=float, default=1.0, help="Seconds between two writes; 0 for none."
    )
    parser.add_argument("--json", type=Path, help="Where the figures go.")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="excise-desk-") as folder:
        started = time.perf_counter()
        url, token, ids = fill(Path(folder), options.requests)
        print(f"filled in {time.perf_counter() - started:.0f} s", file=sys.stderr)
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER, url],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline().rstrip("/\n").rpartition(":")[2])
            warm = argparse.Namespace(**{**vars(options), "seconds": 2.0, "write_every": 0})
            asyncio.run(measure(url, token, ids[:50], port, warm))
            used = processor_seconds(server.pid)
            out = asyncio.run(measure(url, token, ids, port, options))
            found = figures(out, options, load, processor_seconds(server.pid) - used)
        finally:
            server.terminate()
            server.wait()
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    for name, route in found["by_route"].items():
        print(
            f"{name:<22}{route['n']:>7}  p50 {route['p50_ms']:6.1f}  p95 {route['p95_ms']:6.1f} ms"
        )
    print(
        f"{found['answers_per_second']:.0f} answers a second, p50 {found['p50_ms']:.1f}, "
        f"p95 {found['p95_ms']:.1f}, p99 {found['p99_ms']:.1f} ms, {found['errors']} errors; "
        f"{found['server_processor_ms']:.2f} ms of processor an answer: {found['verdict']}"
    )


if __name__ == "__main__":
    main()
