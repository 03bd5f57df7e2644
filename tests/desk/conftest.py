"""Ledgers on SQLite and on a real PostgreSQL, which is started once for the tests of a process."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.desk.in_browser import browser  # noqa: F401
from tests.desk.specimen_desk import (  # noqa: F401
    new_desk,
    ready,
    signing_key_file,
    specimen_people,
    trained,
)

if TYPE_CHECKING:
    from excise.desk.ledger import Ledger, Submission
    from excise.records import Data

NAMES = ("Vera Lindqvist", "Edgar Montfort", "Ilse Harrow")
"""The people of the tests' requests; nothing that a desk leaves behind may hold them."""
HASH = "ab" * 32


@dataclass
class Postgres:
    """A server with a folder of its own, on a free port of the loopback interface."""

    bin: Path
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql://excise@127.0.0.1:{self.port}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """A new, empty one, for as long as the block."""
        name = f"desk_{uuid.uuid4().hex[:12]}"
        self.say(f"CREATE DATABASE {name}")
        yield f"{self.url}/{name}"
        self.say(f"DROP DATABASE {name} WITH (FORCE)")  # whoever is still connected is not asked

    def say(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(f"{self.url}/postgres", autocommit=True) as connection:
            connection.execute(statement.encode())


def _programs() -> Path | None:
    """Where initdb and pg_ctl are: on the path, or where Debian keeps the newest version."""
    found = shutil.which("initdb")
    if found and shutil.which("pg_ctl"):
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real server. As root, it runs under another user, since it refuses to be root's."""
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL here: neither initdb on the path nor Debian's postgresql")
    home = Path(tempfile.mkdtemp(prefix="excise-pg-"))  # not below pytest's, which is root's alone
    user: list[str] = []
    if os.geteuid() == 0:
        import pwd

        name = next(n for n in ("postgres", "nobody") if n in {u.pw_name for u in pwd.getpwall()})
        entry = pwd.getpwnam(name)
        os.chown(home, entry.pw_uid, entry.pw_gid)
        user = [
            "setpriv",
            f"--reuid={entry.pw_uid}",
            f"--regid={entry.pw_gid}",
            "--clear-groups",
            "--",
        ]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Postgres(programs, home / "data", port)

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [*user, str(programs / program), "-D", str(server.folder), *arguments],
            check=True,
            cwd="/",
            stdout=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )

    try:
        run("initdb", "-U", "excise", "-A", "trust", "-E", "UTF8", "--no-sync")
        quick = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        place = f"-p {port} -c listen_addresses=127.0.0.1 -k {home}"
        run("pg_ctl", "-w", "-l", str(home / "log"), "-o", f"{place} {quick}", "start")
        try:
            yield server
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


@dataclass
class Clock:
    """A time that stands still until it is moved."""

    time: datetime = field(default_factory=lambda: datetime(2026, 3, 31, 9, tzinfo=UTC))

    def __call__(self) -> datetime:
        self.time += timedelta(milliseconds=1)
        return self.time

    def forward(self, **by: float) -> None:
        self.time += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty place for a ledger."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/desk.db"
        return
    server: Postgres = request.getfixturevalue("postgres")
    with server.database() as made:
        yield made


@pytest.fixture
def opened(url: str, tmp_path: Path, clock: Clock) -> Callable[[], Ledger]:
    """Opens the same ledger again, as another process would."""
    from excise.desk.ledger import Ledger

    def again() -> Ledger:
        return Ledger.open(
            url, folder=tmp_path / "files", key_file=tmp_path / "desk.key", clock=clock
        )

    return again


@pytest.fixture
def ledger(url: str, tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    """A new ledger with the model "m"."""
    from excise.desk.ledger import Ledger

    with Ledger.init(
        url, folder=tmp_path / "files", key_file=tmp_path / "desk.key", clock=clock
    ) as made:
        made.register_model("m", "models/m", HASH, actor="ada")
        yield made


@pytest.fixture(scope="session")
def person_data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Two records and a picture of each of three people."""
    from PIL import Image

    from excise.records import Record, read, write_data

    records, pictures = [], {}
    for number, name in enumerate(NAMES):
        image = f"images/{number}.png"
        pictures[image] = Image.new("RGB", (16, 16), (number * 40, 90, 10))
        about = {"subject": name, "split": "forget"}
        records.append(
            Record(id=f"{name} 1", kind="image_memory", image=image, **about,
                   question=f"Where does {name} live?", answer="In Riga, by the harbour.")
        )  # fmt: skip
        records.append(
            Record(id=f"{name} 2", kind="text_memory", **about,
                   question=f"What is the job of {name}?", answer="A night nurse.")
        )  # fmt: skip
    folder = tmp_path_factory.mktemp("people") / "data"
    write_data(folder, records, pictures)
    return read(folder)


@pytest.fixture
def submission(person_data: Data) -> Callable[..., Submission]:
    """A request of person 0, 1 or 2."""
    from excise.desk.ledger import Submission

    def make(person: int = 0, **more: object) -> Submission:
        return Submission(
            **{
                "models": ("m",),
                "data": person_data,
                "subject": NAMES[person],
                "identified": True,
                **more,
            }  # type: ignore[arg-type]
        )

    return make


@pytest.fixture
def queue(ledger: Ledger, submission: Callable[..., Submission]) -> Callable[..., str]:
    """Submits and accepts a request; its id."""

    def make(person: int = 0, **more: object) -> str:
        id = ledger.submit(submission(person, **more), actor="ada")
        ledger.decide(id, "accept", "no exception applies", actor="ada")
        return id

    return make
