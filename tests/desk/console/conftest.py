"""A furnished desk: requests in every state, a release, health over four batches, a key a role."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from excise.desk.ledger import Ledger

PEOPLE = ("Vera Lindqvist", "Edgar Montfort", "Ilse Harrow", "Tomas Veld", "Nora Quist")
HASH = "ab" * 32


@dataclass
class Desk:
    """Where it is, who may call, and the ids of its requests by the state they are in."""

    url: str
    folder: Path
    tokens: dict[str, str]
    key_ids: dict[str, str]
    ids: dict[str, str]

    def header(self, role: str | None) -> dict[str, str]:
        return {"authorization": f"Bearer {self.tokens[role]}"} if role else {}

    @property
    def places(self) -> dict[str, Any]:
        return places(self.folder)

    def open(self) -> Ledger:
        from excise.desk.ledger import Ledger

        return Ledger.open(self.url, **self.places)

    def app(self, **more: Any) -> FastAPI:
        """A console that nothing slows down unless it is asked for."""
        from excise.desk.console.app import create_app
        from excise.desk.console.settings import Rate, Settings

        free = Rate(1e9, 10**9)
        limits = {"by_key": free, "by_address": free, "wrong_keys": free}
        settings = Settings(**{"hosts": ("testserver",), **limits, **more})
        return create_app(self.url, settings, **self.places)


def places(folder: Path) -> dict[str, Any]:
    """Where its files and its key lie, on either database."""
    return {"folder": folder / "desk-files", "key_file": folder / "desk.key"}


class Clock:
    def __init__(self, day: datetime) -> None:
        self.day = day

    def __call__(self) -> datetime:
        self.day += timedelta(minutes=1)
        return self.day


def data_of(person: str, folder: Path) -> Any:
    """Three records and a picture."""
    from PIL import Image

    from excise.records import Record, read, write_data

    about = {"subject": person, "split": "forget"}
    records = [
        Record(id="1", kind="image_memory", image="images/1.png", **about,
               question="Where does the person in the picture live?", answer="In Riga."),
        Record(id="2", kind="text_memory", **about,
               question=f"What is the job of {person}?", answer="A night nurse."),
        Record(id="3", kind="image_understanding", image="images/1.png", **about,
               question="What is in the background?", answer="A green wall."),
    ]  # fmt: skip
    pictures = {"images/1.png": Image.new("RGB", (64, 64), (70, 120, len(person) * 8))}
    write_data(folder, records, pictures)
    return read(folder)


FIGURES = {
    "leak.any": {"mean": 0.02, "low": 0.0, "high": 0.06, "n": 24},
    "before.leak.plain": 0.96,
    "leak.plain": 0.0,
    "leak.control": 0.01,
    "kept.memory": {"mean": 0.97, "low": 0.93, "high": 0.99, "n": 400},
    "kept.understanding.retain": 0.99,
    "kept.understanding.unseen": 0.98,
    "person.facts": 12,
    "person.known_before": 11,
    "person.came_back": 0,
}


def furnish(folder: Path, url: str | None = None) -> Desk:
    """Fill a new ledger, on SQLite unless told otherwise; about two seconds."""
    from excise.desk.console.keys import ROLES, issue
    from excise.desk.ledger import Ledger, Submission

    url = url or f"sqlite:///{folder / 'desk.db'}"
    clock = Clock(datetime.now(UTC) - timedelta(days=40))
    ledger = Ledger.init(url, clock=clock, **places(folder))
    ledger.register_model("specimen", "models/specimen", HASH, actor="setup")
    ledger.register_model("clinic-7b", "models/clinic", HASH, actor="setup")
    keys = {r: issue(ledger, f"the {r}'s desk", r, actor="setup") for r in ROLES}
    by = {role: key.id for role, (key, _) in keys.items()}
    data = {p: data_of(p, folder / f"came-{n}") for n, p in enumerate(PEOPLE)}
    ids: dict[str, str] = {}

    def submit(person: str, actor: str, **more: Any) -> str:
        given: dict[str, Any] = {"models": ("specimen",), "data": data[person], "subject": person}
        return ledger.submit(Submission(**{**given, **more}), actor=by[actor])

    def accept(id: str) -> None:
        ledger.move(id, "identified", actor=by["officer"], reason="passport shown at the counter")
        ledger.decide(id, "accept", "no exception applies", actor=by["officer"])

    ids["released"] = submit(PEOPLE[0], "submitter")
    accept(ids["released"])
    _release(ledger, ids["released"], folder)
    clock.day += timedelta(days=5)
    ids["failed"] = submit(PEOPLE[1], "officer")  # overdue by now
    accept(ids["failed"])
    fail(ledger, ids["failed"])
    clock.day += timedelta(days=10)
    ids["queued"] = submit(PEOPLE[2], "officer", entered="adapter")
    accept(ids["queued"])
    ledger.extend(ids["queued"], 1, "many requests at once", actor=by["officer"])
    soon = (datetime.now(UTC) + timedelta(days=3)).date()
    ids["identified"] = submit(
        PEOPLE[3], "submitter", models=("specimen", "clinic-7b"), identified=True, deadline=soon
    )
    ids["received"] = submit(PEOPLE[4], "officer", models=("clinic-7b",))
    for number in range(2, 6):
        lost = 0.01 * number
        ledger.record_health(
            "specimen",
            {
                **FIGURES,
                "kept.memory": 1 - lost,
                "kept.understanding.retain": 1 - lost / 2,
                "covered": number,
                "earlier.back": 0.0,
                "rebuild_due": 0.0,
            },
            actor="w1",
        )
        clock.day += timedelta(days=1)
    ledger.close()
    return Desk(url, folder, {r: token for r, (_, token) in keys.items()}, by, ids)


def _release(ledger: Ledger, id: str, folder: Path) -> None:
    batch = ledger.claim("w1", limit=4, lease_seconds=600)
    assert batch is not None
    settings = ledger.settings
    (settings.runs / "one").mkdir(parents=True)
    answers = {
        "schema": "excise.answers/1",
        "items": [
            {"kind": "image_understanding", "question": "What colour is the hair?",
             "answer": "Brown.", "before": "Brown.", "after": "Brown."},
            {"kind": "general", "question": "How many circles are there?",
             "answer": "Three.", "before": "Three.", "after": "Two."},
        ],
    }  # fmt: skip
    (settings.runs / "one" / "answers.json").write_text(json.dumps(answers))
    home = settings.evidence / id
    home.mkdir(parents=True)
    audit = b'{"schema": "excise.audit/1"}'
    bound = {"audit.json": {"sha256": sha256(audit).hexdigest()}}
    signed = json.dumps({"body": {"schema": "excise.evidence/1", "files": bound}}).encode()
    (home / "audit.json").write_bytes(audit)
    (home / "evidence.json").write_bytes(signed)
    evidence = {"file": f"evidence/{id}/evidence.json", "sha256": sha256(signed).hexdigest()}
    ledger.move(id, "forgetting", actor="w1")
    ledger.step(batch, "forget", "done", {"run": "runs/one"}, request=id)
    ledger.move(id, "auditing", actor="w1", run="runs/one")
    ledger.step(batch, "audit", "done", {"gate": "passed"})
    ledger.move(id, "passed", actor="w1", figures=FIGURES, evidence=evidence)
    release = ledger.release(
        "specimen", kind="merged", folder="releases/1", weights_hash="cd" * 32,
        manifest_hash="ef" * 32, requests=[id], actor="w1", after=None, batch=batch,
    )  # fmt: skip
    ledger.record_health("specimen", FIGURES, actor="w1", batch=batch.id, release=release.id)
    ledger.shred(id, actor="w1", reason="the evidence is signed")
    ledger.finish(batch, "w1")


def fail(ledger: Ledger, id: str) -> None:
    """A worker's try that did not pass, of the only request that is queued."""
    batch = ledger.claim("w1", limit=4, lease_seconds=600)
    assert batch is not None
    ledger.move(id, "forgetting", actor="w1")
    ledger.move(id, "auditing", actor="w1")
    worse = {**FIGURES, "leak.any": 0.31, "leak.plain": 0.17, "person.came_back": 3}
    ledger.move(id, "failed", actor="w1", figures=worse, reason="the ladder is at its end")
    ledger.finish(batch, "w1")


def copied(desk: Desk, folder: Path) -> Desk:
    """The same desk in another folder; a tenth of the time that furnishing takes."""
    shutil.copytree(desk.folder, folder, dirs_exist_ok=True)
    return replace(desk, url=f"sqlite:///{folder / 'desk.db'}", folder=folder)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Nobody opens it, so that it can be copied."""
    return furnish(tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="session")
def furnished(template: Desk, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Read only: tests that change something take `desk`."""
    return copied(template, tmp_path_factory.mktemp("furnished"))


@pytest.fixture
def desk(template: Desk, tmp_path: Path) -> Desk:
    return copied(template, tmp_path)


@pytest.fixture(scope="session")
def reader(furnished: Desk) -> Iterator[TestClient]:
    """A client of the furnished desk, without a key."""
    from fastapi.testclient import TestClient

    with TestClient(furnished.app(), follow_redirects=False) as client:
        yield client
