"""What all parts of the ledger work on: the database, the key, the vault, the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime

from sqlalchemy import Connection, Engine

from excise.desk.ledger.database import told
from excise.desk.ledger.pen import Pen
from excise.desk.ledger.turns import Turns
from excise.desk.settings import Settings
from excise.desk.vault.keys import DeskKey
from excise.desk.vault.vault import Vault

Clock = Callable[[], datetime]
WAIT_FOR_TURN = 60.0
"""Seconds; with so many in line, it is better to say so."""


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Book:
    """An open ledger."""

    engine: Engine
    settings: Settings
    key: DeskKey
    vault: Vault
    clock: Clock
    turns: Turns

    @property
    def sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @property
    def today(self) -> date:
        return self.clock().date()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view of everything. Raises InputError, Locked: `database.told`."""
        level = {} if self.sqlite else {"isolation_level": "REPEATABLE READ"}
        with (
            told(self.settings.url),
            self.turns.one(WAIT_FOR_TURN),
            self.engine.connect().execution_options(**level) as connection,
        ):
            yield connection

    @contextmanager
    def write(self) -> Iterator[Pen]:
        """The one writer's transaction; whatever is raised inside undoes all of it."""
        with self.touch() as connection:
            pen = Pen(connection, self.key.derived("chain"), self.clock())
            yield pen
            pen.finish()

    @contextmanager
    def touch(self) -> Iterator[Connection]:
        """For what the chain does not track: leases. It holds no more than the rows it changes."""
        with (
            told(self.settings.url),
            self.turns.one(WAIT_FOR_TURN),
            self.engine.connect().execution_options(writes=True) as connection,
            connection.begin(),
        ):
            yield connection
