"""Reading a full ledger: `python benchmarks/desk.py`.

    python benchmarks/desk.py [--requests 1000] [--clients 50] [--seconds 10] [--pause 0]
        [--json FILE]

A ledger on SQLite with so many requests, each with its entries; so many clients in threads of one
process read it (a page of fifty, one request, its log, the counts), while another one writes five
times a second. Without a pause each asks again as soon as it is answered, which is harder than
people are; with one, it waits so long. Latencies in milliseconds, of what the ledger itself takes,
and processor time, of readers and writer together; the same over HTTP: `desk_http.py`.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from excise.desk.ledger import STATES, Ledger, Submission
from excise.desk.vault.vault import Place, Vault
from excise.records.writing import write_json

GOAL = 100.0
"""Milliseconds that 95 of 100 reads have to stay under."""
PACKAGES = ("excise", "sqlalchemy")


def fill(folder: Path, requests: int) -> tuple[Ledger, list[str]]:
    """A ledger with so many; nothing is sealed, since nothing is unlocked here."""
    setattr(Vault, "put", lambda *_: Place("data-0", "0" * 64, 0))  # noqa: B010
    ledger = Ledger.init(
        f"sqlite:///{folder}/desk.db", folder=folder / "files", key_file=folder / "desk.key"
    )
    ledger.register_model("m", "models/m", "ab" * 32, actor="bench")
    ids = []
    for number in range(requests):
        made = Submission(("m",), subject=f"s{number}", identified=number % 2 == 0)
        ids.append(ledger.submit(made, actor="bench"))
        if number % 4 == 1:
            ledger.move(ids[-1], "identified", actor="bench", reason="identity checked")
    return ledger, ids


def jobs(ledger: Ledger, ids: list[str], rng: random.Random) -> dict[str, Callable[[], object]]:
    """What a client does, by its name."""
    return {
        "page": lambda: ledger.requests(limit=50, after=rng.choice(ids)),
        "page of a state": lambda: ledger.requests(limit=50, states=[rng.choice(STATES)]),
        "request": lambda: ledger.request(rng.choice(ids)),
        "log of a request": lambda: ledger.entries(rng.choice(ids)),
        "counts": lambda: ledger.counts(),
    }


def client(
    ledger: Ledger,
    ids: list[str],
    seed: int,
    until: float,
    pause: float,
    took: dict[str, list[float]],
) -> None:
    rng = random.Random(seed)
    what = jobs(ledger, ids, rng)
    time.sleep(pause * rng.random())  # not all at once
    while time.perf_counter() < until:
        name = rng.choice(list(what))
        started = time.perf_counter()
        what[name]()
        took[name].append((time.perf_counter() - started) * 1000)
        time.sleep(pause)


def measure(
    ledger: Ledger, ids: list[str], clients: int, seconds: float, pause: float = 0.0
) -> dict[str, Any]:
    """Latencies of all clients together, and the writer's."""
    failed: list[str] = []
    took = [{name: [] for name in jobs(ledger, ids, random.Random(0))} for _ in range(clients)]
    writes: list[float] = []
    until, used = time.perf_counter() + seconds, time.process_time()

    def guarded(work: Callable[..., None], *given: Any) -> None:
        try:
            work(*given)
        except Exception as error:  # counted, and told at the end
            failed.append(f"{type(error).__name__}: {error}")

    def write() -> None:
        while time.perf_counter() < until:
            started = time.perf_counter()
            ledger.log("bench", {}, actor="bench", request=ids[0])
            writes.append((time.perf_counter() - started) * 1000)
            time.sleep(0.2)

    threads = [
        threading.Thread(target=guarded, args=(client, ledger, ids, seed, until, pause, took[seed]))
        for seed in range(clients)
    ]
    threads.append(threading.Thread(target=guarded, args=(write,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    used = time.process_time() - used
    names = took[0]
    by_name = {name: [ms for each in took for ms in each[name]] for name in names}
    every = [ms for values in by_name.values() for ms in values]
    return {
        "reads": spread(every),
        "reads_a_second": len(every) / seconds,
        "processor_ms": 1000 * used / max(1, len(every)),
        "by_name": {name: spread(values) for name, values in by_name.items()},
        "writes": spread(writes),
        "errors": failed,
    }


def spread(values: list[float]) -> dict[str, float]:
    """Milliseconds: half, 95 and 99 of 100, and all stay below."""
    if len(values) < 2:
        values = [*values, *values] or [float("nan")] * 2
    cuts = statistics.quantiles(values, n=100)
    return {
        "n": len(values),
        "p50": cuts[49],
        "p95": cuts[94],
        "p99": cuts[98],
        "most": max(values),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two reads")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        ledger, ids = fill(Path(name), given.requests)
        with ledger:
            found = measure(ledger, ids, given.clients, given.seconds, given.pause)
            started = time.perf_counter()
            broken = ledger.verify(vault=False)
            found["verify_seconds"] = time.perf_counter() - started
    found |= {
        "requests": given.requests,
        "clients": given.clients,
        "seconds": given.seconds,
        "pause": given.pause,
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "load": os.getloadavg()[0],
        },
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
    }
    rows = {"all reads": found["reads"], **found["by_name"], "writes": found["writes"]}
    print(f"{'milliseconds':<18}{'n':>8}{'p50':>8}{'p95':>8}{'p99':>8}{'most':>8}")
    for name, row in rows.items():
        cells = "".join(f"{row[key]:>8.1f}" for key in ("p50", "p95", "p99", "most"))
        print(f"{name:<18}{row['n']:>8}{cells}")
    met = found["reads"]["p95"] < GOAL and not found["errors"] and broken is None
    rate, load = found["reads_a_second"], found["machine"]["load"]
    print(
        f"{rate:.0f} reads a second, {found['processor_ms']:.2f} ms of processor a read, "
        f"{len(found['errors'])} errors, load {load:.1f}"
    )
    print(f"p95 under {GOAL:.0f} ms: {'pass' if met else 'MISS'}")
    for error in found["errors"][:3]:
        print(error, file=sys.stderr)
    if given.json:
        write_json(given.json, found)
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
