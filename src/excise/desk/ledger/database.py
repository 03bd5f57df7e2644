"""Connections to both databases, and what can be wrong with them in one line.

SQLite: write-ahead log, so that readers never wait for the writer; `secure_delete`, so that nothing
stays in freed pages; a writer takes its lock when it begins (`BEGIN IMMEDIATE`), since one that
began by reading could not be let wait. Passwords of a URL are never shown.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, ProgrammingError

from excise.desk.errors import Locked
from excise.records.errors import InputError

WAIT = "EXCISE_DESK_WAIT"
"""Environment variable: seconds to wait for somebody else's lock, 10 if not set."""
PLACES, MANY = 4, 16
"""Threads of one process that use a ledger at a time, on SQLite and on PostgreSQL."""
FORMS = "sqlite:///desk.db or postgresql://user@host/name"


def connect(url: str) -> Engine:
    """An engine; nothing is opened yet.

    Raises:
        InputError: no such kind of database, or no file name.
    """
    parsed = _parsed(url)
    sqlite = parsed.get_backend_name() == "sqlite"
    try:
        engine = create_engine(
            parsed,
            hide_parameters=True,
            pool_size=PLACES if sqlite else MANY,
            max_overflow=0,
            pool_pre_ping=not sqlite,
            connect_args={"check_same_thread": False, "timeout": wait()}
            if sqlite
            else {
                "connect_timeout": 10,
                "options": f"-c lock_timeout={int(wait() * 1000)} -c timezone=UTC",
            },
        )
    except ImportError:
        raise InputError(
            f"{shown(url)}: its driver is not installed, expected pip install 'excise[serve]'"
        ) from None
    if sqlite:
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
    return engine


def shown(url: str) -> str:
    """The URL without its password; of a file, the file's name."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        return "--db"  # it may hold a password that we cannot find
    if parsed.get_backend_name() == "sqlite":
        return str(parsed.database)
    return parsed.render_as_string(hide_password=True)


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite database, None for another one."""
    parsed = _parsed(url)
    return Path(str(parsed.database)) if parsed.get_backend_name() == "sqlite" else None


def wait() -> float:
    """Seconds that a lock is waited for."""
    given = os.environ.get(WAIT, "10")
    try:
        return max(0.0, float(given))
    except ValueError:
        raise InputError(f"{WAIT}: expected seconds, such as 10") from None


@contextmanager
def told(url: str) -> Iterator[None]:
    """Turn what the driver says into one line; what is a mistake of ours stays as it is.

    Raises:
        Locked, InputError: see there.
    """
    try:
        yield
    except TimeoutError:
        raise Locked(f"{shown(url)}: too many at once, expected fewer; try again") from None
    except DBAPIError as error:
        text = str(error.orig).lower()
        code = getattr(error.orig, "sqlstate", None)
        name = shown(url)
        if "locked" in text or "busy" in text or code in ("55P03", "40P01"):
            raise Locked(
                f"{name}: locked by somebody else for {wait():g} s, expected it free; try again"
            ) from None
        ours = isinstance(error, ProgrammingError)  # a statement of ours; only its code counts
        for sign, reason in _REASONS.items():
            if sign == code or (sign in text and not ours):
                raise InputError(f"{name}: {reason}") from None
        raise


_REASONS = {
    "3D000": "no such database on this server, expected one that exists (createdb)",
    "28P01": "wrong user or password",
    "28000": "this user may not log in here",
    "does not exist": "no such database or user on this server, expected ones that exist",
    "password": "wrong user or password, or none given",
    "authentication failed": "wrong user or password",
    "42501": "this user may not do that, expected the owner of the tables",
    "connection refused": "no server answers there",
    "could not translate host": "no such host",
    "failed to resolve host": "no such host",
    "connection failed": "no server answers there",
    "connection timeout": "no server answers there",
    "not a database": "is no database, expected an SQLite file",
    "malformed": "is a damaged database",
    "unable to open": "cannot be opened, expected a file in a folder that may be written to",
    "readonly": "may not be written to, expected a writable file and folder",
    "disk is full": "the disk is full, expected room to write",
    "disk i/o": "the disk cannot be read or written",
}


def _parsed(url: str) -> URL:
    if url.startswith("postgres://"):
        url = "postgresql" + url.removeprefix("postgres")
    try:
        parsed = make_url(url)
        kind = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise InputError(f"--db: not a database's URL, expected {FORMS}") from None
    if kind == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise InputError(f"--db: names no file, expected {FORMS}")
        return parsed.set(drivername="sqlite")
    if kind == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    raise InputError(f'--db: kind "{kind}" is not supported, expected {FORMS}')


def _prepare(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver would begin transactions in its own way
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "secure_delete = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Any) -> None:
    if connection.get_execution_options().get("writes", False):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:  # takes no lock, so it cannot fail; the driver alone takes a tenth of the time
        connection.connection.dbapi_connection.execute("BEGIN")
