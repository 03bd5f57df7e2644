"""`kill -9` at any moment, and several workers at once: nothing lost, nothing done twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.desk.specimen_desk import SpecimenDesk, lenient
from tests.desk.work import driver

from excise.desk.ledger import Entry, Ledger, Submission
from excise.desk.release.manifest import problems
from excise.records import Data, Record

WORKER = Path(driver.__file__)


def strangers(ledger: Ledger, like: Data, count: int) -> list[str]:
    """Requests of people of whom the model need not know anything."""
    pictured = next(r for r in like.records if r.image and r.kind == "image_memory")
    ids = []
    for number in range(count):
        name = f"Nobody{number:03d} Nowhere"
        asked = [
            Record(id=f"a{number}", subject=name, split="forget", kind="image_memory",
                   image=pictured.image, question="Where do they live?", answer="In Vaduz"),
            Record(id=f"b{number}", subject=name, split="forget", kind="text_memory",
                   question=f"Where does {name} live?", answer="In Vaduz"),
        ]  # fmt: skip
        made = Submission(("m",), Data(like.folder, tuple(asked)), subject=name, identified=True)
        ids.append(ledger.submit(made, actor="ada"))
        ledger.decide(ids[-1], "accept", "no exception applies", actor="ada")
    return ids


def started(desk: SpecimenDesk, name: str, ready: Path, limit: int) -> subprocess.Popen[bytes]:
    words = [desk.ledger.settings.url, desk.folder, name, ready, limit]
    return subprocess.Popen(
        [sys.executable, str(WORKER), *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=(desk.folder / "stderr.txt").open("ab"),
    )


def check_all(desk: SpecimenDesk, ids: list[str]) -> None:
    """Nothing lost, nothing twice, the chain whole, one release current, nothing half-made."""
    ledger = desk.ledger
    said = (desk.folder / "stderr.txt").read_text()
    assert ledger.counts()["released"] == len(ids), said[-2000:]
    broken = ledger.verify()
    assert broken is None, str(broken)
    entries = entries_of(ledger)
    moved = Counter(entry.request for entry in entries if entry.content.get("state") == "passed")
    assert {*moved} == {*ids}
    # A release is the only way to be released, and each covers what was not covered before.
    releases = ledger.releases("m")
    assert [r.state for r in releases] == ["current"] + ["superseded"] * (len(releases) - 1)
    assert {*releases[0].requests} == {*ids}
    covered = [len(r.requests) for r in reversed(releases)]
    assert covered == sorted({*covered}), "none twice: each release covers more than the last"
    assert len([e for e in entries if e.kind == "release.made"]) == len(releases)
    trained = Counter((desk.folder / "trained.txt").read_text().split())
    assert {*trained} == {*ids}
    current = ledger.settings.folder / releases[0].folder
    assert problems(current, releases[0].manifest_hash) == []
    assert {f.name for f in ledger.settings.releases.iterdir()} == {
        Path(r.folder).name for r in releases
    }
    assert len([*ledger.settings.releases.glob("*/model")]) <= 2, "old weights are removed"
    assert not [*ledger.settings.runs.iterdir()], "a release has all that it is made of"
    hidden = [p for p in ledger.settings.folder.rglob(".*") if p.name != ".lock"]
    assert not hidden
    assert not [*(ledger.settings.folder / "open").iterdir()]
    assert {status for id in ids for status in ledger.request(id).sealed.items()} == {
        ("data", "shredded"),
        ("probes", "sealed"),
    }
    assert len(ledger.health("m")) == len(releases)


def entries_of(ledger: Ledger) -> list[Entry]:
    found: list[Entry] = []
    while page := ledger.entries(after=len(found)):
        found += page
    return found


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_workers_lose_nothing_and_do_nothing_twice(
    kills: int,
    ready: Path,
    new_desk: Callable[..., SpecimenDesk],
    tmp_path: Path,
) -> None:
    desk = lenient(new_desk, tmp_path)
    people = 4 if kills < 10 else 20
    ids = strangers(desk.ledger, desk.people[desk.names[0]], people)
    rng = random.Random(kills)
    for number in range(kills):
        worker = started(desk, f"w{number}", ready, 2 if kills < 10 else 4)
        while worker.poll() is None and not (tmp_path / f"up-w{number}").exists():
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 6))
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert started(desk, "last", ready, 2).wait(timeout=600) == 0
    check_all(desk, ids)
    desk.worker().run(once=True)  # tidies after the last kills


@pytest.mark.parametrize("requests", [6, pytest.param(200, marks=pytest.mark.slow)])
def test_two_workers_on_postgresql_do_each_request_once(
    requests: int,
    ready: Path,
    new_desk: Callable[..., SpecimenDesk],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    with request.getfixturevalue("postgres").database() as url:
        desk = lenient(new_desk, tmp_path, url=url)
        ids = strangers(desk.ledger, desk.people[desk.names[0]], requests)
        limit = 3 if requests < 100 else 20
        workers = [started(desk, f"w{n}", ready, limit) for n in range(2)]
        assert [worker.wait(timeout=3000) for worker in workers] == [0, 0]
        check_all(desk, ids)
        trained = Counter((desk.folder / "trained.txt").read_text().split())
        assert set(trained.values()) == {1}
        assert {r.part().attempts for r in desk.ledger.requests(limit=1000)} == {1}
        made = [e for e in entries_of(desk.ledger) if e.kind == "batch.made"]
        assert len({e.actor for e in made}) == 2, "both had something to do"
        desk.ledger.close()
