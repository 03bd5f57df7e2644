"""The desk's console under readers: 1,000 requests in an SQLite ledger, 50 clients over HTTP.

The console runs as it does for users, in a process of its own; the clients, in this one, each keep
one connection. Without a pause they ask again as soon as they are answered, which is harder than
people are; with one, each waits so long between an answer and the next question. What they ask is a
seeded mix of what the API shows. Meanwhile a third process writes, so that answers which are kept
have to be made anew. The goal: 95 of 100 answers within 100 ms, and no error.

    python benchmarks/desk_http.py [--requests 1000] [--clients 50] [--seconds 20] [--pause 0]
        [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import random
import re
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
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
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

    def question(self, path: str) -> bytes:
        """What `get` sends, to be made beforehand."""
        lines = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{self._headers}\r\n\r\n"
        return lines.encode()

    async def get(self, question: bytes) -> int:
        """The status; the body is read and left."""
        self._out.write(question)
        head = await self._in.readuntil(b"\r\n\r\n")
        length = LENGTH.search(head)
        assert length is not None
        await self._in.readexactly(int(length[1]))
        return int(head[9:12])


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
    port: int, token: str, ids: list[str], seed: int, over: float, pause: float, out: Measured
) -> None:
    number = 0
    async with Client(port, f"Authorization: Bearer {token}") as client:
        asked = [(name, path, client.question(path)) for name, path in paths(ids, seed)]
        if pause:
            await asyncio.sleep(pause * random.Random(seed).random())  # not all at once
        while time.perf_counter() < over:
            name, path, question = asked[number % len(asked)]
            number += 1
            started = time.perf_counter()
            status = await client.get(question)
            out.took.setdefault(name, []).append((time.perf_counter() - started) * 1000)
            if status != 200:
                out.errors.append(f"{path} {status}")
            if pause:
                await asyncio.sleep(pause)


def write(url: str, every: float, ready: Any, over: Any) -> None:
    """Hand requests in until it is over; in a process of its own, so that it delays no client."""
    from excise.desk.ledger import Ledger, Submission

    ledger, count = Ledger.open(url), 0
    ready.set()
    while not over.wait(every):
        given = Submission(models=("m",), name=f"writer {count}", received=date.today())
        ledger.submit(given, actor="benchmark")
        count += 1
    ledger.close()


async def measure(token: str, ids: list[str], port: int, options: Any, seconds: float) -> Measured:
    """What the readers see in so many seconds."""
    out = Measured()
    over = time.perf_counter() + seconds
    readers = [read(port, token, ids, n, over, options.pause, out) for n in range(options.clients)]
    await asyncio.gather(*readers)
    return out


def measure_with_writer(
    url: str, token: str, ids: list[str], port: int, options: Any
) -> tuple[Measured, float]:
    """The same while somebody writes; and the processor seconds of all clients."""
    new = multiprocessing.get_context("spawn")
    ready, over = new.Event(), new.Event()
    writer = new.Process(target=write, args=(url, options.write_every, ready, over), daemon=True)
    if options.write_every:
        writer.start()
        ready.wait(60)
    used = time.process_time()
    out = asyncio.run(measure(token, ids, port, options, options.seconds))
    used = time.process_time() - used
    if options.write_every:
        over.set()
        writer.join(60)
        if writer.exitcode != 0:
            out.errors.append(f"the writer ended with {writer.exitcode}")
    return out, used


def at(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def processor_seconds(pid: int) -> float:
    """What a process has used so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def figures(
    out: Measured, options: Any, load: float, processor: float, clients: float
) -> dict[str, Any]:
    every = [ms for values in out.took.values() for ms in values]
    p95, busy = at(every, 0.95), load > QUIET * (os.cpu_count() or 1)
    return {
        "requests": options.requests,
        "clients": options.clients,
        "seconds": options.seconds,
        "pause": options.pause,
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
        "client_processor_ms": 1000 * clients / max(1, len(every)),
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
    parser.add_argument(
        "--pause", type=float, default=0.0, help="Seconds from an answer to the next question."
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
            asyncio.run(measure(token, ids[:50], port, options, 2.0))  # warm
            used = processor_seconds(server.pid)
            out, clients = measure_with_writer(url, token, ids, port, options)
            used = processor_seconds(server.pid) - used
            found = figures(out, options, load, used, clients)
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
        f"processor an answer: server {found['server_processor_ms']:.2f}, "
        f"client {found['client_processor_ms']:.2f} ms: {found['verdict']}"
    )


if __name__ == "__main__":
    main()
