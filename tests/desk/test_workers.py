"""Several processes on one ledger: everything is claimed once, and killed ones lose nothing."""

from __future__ import annotations

import multiprocessing
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from excise.desk.ledger import Ledger, NotAllowed, Submission
from excise.desk.ledger.turns import Turns

REQUESTS = 200


def _work(url: str, tmp_path: str, name: str, found: Any) -> None:
    files = Path(tmp_path)
    done = []
    with Ledger.open(url, folder=files / "files", key_file=files / "desk.key") as ledger:
        while batch := ledger.claim(name, limit=3, lease_seconds=60):
            for request in batch.requests:
                for state in ("forgetting", "auditing", "passed"):
                    ledger.move(request.id, state, actor=name)  # type: ignore[arg-type]
                done.append(request.id)
            ledger.heartbeat(batch, name, lease_seconds=60)
            ledger.finish(batch, name)
    found.put((name, done))


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_four_processes_do_each_request_once(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from excise.desk.vault.vault import Place, Vault

    monkeypatch.setattr(Vault, "put", lambda *_: Place("data-x", "0" * 64, 0))
    with Ledger.init(url, folder=tmp_path / "files", key_file=tmp_path / "desk.key") as ledger:
        ledger.register_model("m", "models/m", "ab" * 32, actor="ada")
        ids = _fill(ledger)
        context = multiprocessing.get_context("spawn")
        found = context.Queue()
        workers = [
            context.Process(target=_work, args=(url, str(tmp_path), f"w{n}", found))
            for n in range(4)
        ]
        for worker in workers:
            worker.start()
        told = dict(found.get(timeout=120) for _ in workers)
        for worker in workers:
            worker.join()
        times = Counter(id for done in told.values() for id in done)
        assert times == Counter(ids), "each exactly once"
        assert sum(bool(done) for done in told.values()) > 1, "more than one had something to do"
        assert ledger.counts()["passed"] == REQUESTS
        assert {request.part().attempts for request in ledger.requests(limit=1000)} == {1}
        assert ledger.verify(vault=False) is None


def _fill(ledger: Ledger) -> list[str]:
    """Queued requests; nothing is sealed, since nothing is unlocked here."""
    from excise.records import Data, Record

    ids = []
    for number in range(REQUESTS):
        record = Record(
            id="r", subject=f"s{number}", split="forget", kind="text_memory",
            question="Where?", answer="Here.",
        )  # fmt: skip
        made = Submission(("m",), Data(Path(), (record,)), identified=True)
        id = ledger.submit(made, actor="ada")
        ledger.decide(id, "accept", "fine", actor="ada")
        ids.append(id)
    return ids


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_sqlite_serves_one_worker(ledger: Ledger, queue: Callable[..., str]) -> None:
    first, second = queue(0), queue(1)
    batch = ledger.claim("w1", limit=1, lease_seconds=60)
    assert batch is not None
    with pytest.raises(NotAllowed, match="SQLite serves one, expected PostgreSQL"):
        ledger.claim("w2", limit=1, lease_seconds=60)
    for state in ("forgetting", "auditing", "passed"):
        ledger.move(batch.requests[0].id, state, actor="w1")  # type: ignore[arg-type]
    ledger.finish(batch, "w1")
    following = ledger.claim("w2", limit=1, lease_seconds=60)
    assert following is not None
    assert {batch.requests[0].id, following.requests[0].id} == {first, second}


def _busy_until_killed(url: str, tmp_path: str, begin: int, begun: Any) -> None:
    files = Path(tmp_path)
    with Ledger.open(url, folder=files / "files", key_file=files / "desk.key") as ledger:
        ledger.tidy()
        begun.set()
        for number in range(begin, begin + 10_000):
            made = Submission(("m",), subject=f"s{number}", identified=True)
            id = ledger.submit(made, actor="ada")
            with ledger.unlock(id, actor="ada", reason="to make records"):
                pass
            if number % 2:
                ledger.withdraw(id, "no longer wanted", actor="ada")


def test_killed_at_any_moment_the_ledger_and_the_vault_agree(
    ledger: Ledger, url: str, tmp_path: Path, opened: Callable[[], Ledger]
) -> None:
    context, moments = multiprocessing.get_context("spawn"), random.Random(0)
    for kill in range(4):
        begun = context.Event()
        worker = context.Process(
            target=_busy_until_killed, args=(url, str(tmp_path), kill * 10_000, begun)
        )
        worker.start()
        assert begun.wait(60)
        time.sleep(moments.uniform(0.05, 0.4))
        worker.kill()
        worker.join()
    again = opened()
    again.tidy()
    assert again.verify() is None
    requests = again.requests(limit=1000)
    here = {folder.name for folder in again.settings.vault.glob("r-*")}
    assert here == {request.id for request in requests if request.state != "withdrawn"}
    for request in requests:
        kept = "shredded" if request.state == "withdrawn" else "sealed"
        assert request.sealed == {"data": kept}
    assert not list(again.settings.open_folder.glob("*/"))
    again.close()


def test_turns_come_in_the_order_of_the_line_and_are_given_back() -> None:
    turns, order = Turns(1), list[int]()

    def take(number: int) -> None:
        with turns.one(30):
            order.append(number)

    with turns.one(1):
        with pytest.raises(TimeoutError), turns.one(0.01):
            pass
        waiting = []
        for number in range(4):
            waiting.append(threading.Thread(target=take, args=(number,)))
            waiting[-1].start()
            while len(turns._line) <= number:
                time.sleep(0.001)
    for thread in waiting:
        thread.join()
    assert order == [0, 1, 2, 3]
    with turns.one(0.01):
        pass


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_fifty_threads_read_and_write_at_once(ledger: Ledger, queue: Callable[..., str]) -> None:
    id, failed = queue(), list[Exception]()

    def work(number: int) -> None:
        try:
            for _ in range(3):
                ledger.requests()
                if number % 10 == 0:
                    ledger.log("test", {"number": number}, actor="ada", request=id)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(ledger.entries(id)) == 2 + 15
    assert ledger.verify() is None
