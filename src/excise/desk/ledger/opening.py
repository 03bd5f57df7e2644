"""Making a ledger and opening one."""

from __future__ import annotations

import os
from contextlib import suppress

from sqlalchemy import Connection, Engine, insert, select

from excise.desk.ledger import schema, tables
from excise.desk.ledger.book import Book, Clock
from excise.desk.ledger.chain import START, same, seal
from excise.desk.ledger.database import MANY, PLACES, connect, shown, sqlite_file, told
from excise.desk.ledger.pen import Pen
from excise.desk.ledger.turns import Turns
from excise.desk.settings import Settings
from excise.desk.vault.keys import DeskKey
from excise.desk.vault.vault import Vault
from excise.records.errors import InputError


def make(settings: Settings, *, upgrade: bool, actor: str, clock: Clock) -> Book:
    """New tables, folder and key; what is there already is never overwritten.

    Raises:
        InputError: there is a ledger (an older one without `upgrade`), or no place for one.
    """
    engine = connect(settings.url)
    file = sqlite_file(settings.url)
    if file is not None and not file.parent.is_dir():
        raise InputError(f"{file.parent}: no such folder, expected one for the ledger")
    if file is not None:
        with suppress(OSError):  # what is wrong, the database says better
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600))
    with told(settings.url):
        with engine.connect() as connection:
            found = schema.version(connection)
        if found is None and settings.key_file.exists():
            DeskKey.load(settings)  # readable, before anything is made
        if found is not None and not upgrade:
            _refuse(engine, settings)
        if found is not None and found not in schema.VERSIONS:
            with engine.connect() as connection:
                schema.check(connection, settings.url)  # raises: a newer one
        key = DeskKey.load(settings) if found is not None else DeskKey.make(settings)
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            schema.upgrade(connection)
            if found is None:
                _begin(connection, key)
                Pen(connection, key.derived("chain"), clock()).entry(
                    "ledger.made", actor=actor, content={"schema": schema.VERSIONS[-1]}
                )
            else:
                _require_key(connection, key, settings)
                Pen(connection, key.derived("chain"), clock()).entry(
                    "ledger.upgraded", actor=actor, content={"from": found}
                )
    book = _book(engine, settings, key, clock)
    with book.vault.filling():
        pass  # makes the folder
    return book


def reopen(settings: Settings, clock: Clock) -> Book:
    """One that exists.

    Raises:
        InputError: see `Ledger.open`.
    """
    file = sqlite_file(settings.url)
    if file is not None and not file.is_file():
        raise InputError(f"{file}: no such ledger, expected one made by excise desk init")
    engine = connect(settings.url)
    with told(settings.url), engine.connect() as connection:
        schema.check(connection, settings.url)
        key = DeskKey.load(settings)
        _require_key(connection, key, settings)
    book = _book(engine, settings, key, clock)
    book.vault.sweep()
    return book


def _book(engine: Engine, settings: Settings, key: DeskKey, clock: Clock) -> Book:
    vault = Vault(settings.vault, settings.open_folder, key)
    places = PLACES if sqlite_file(settings.url) else MANY
    return Book(engine, settings, key, vault, clock, Turns(places))


def _begin(connection: Connection, key: DeskKey) -> None:
    digest = seal(key.derived("chain"), "key")
    connection.execute(insert(tables.desk).values(name="key", value=digest))
    first = seal(key.derived("chain"), "head", 0, START)
    connection.execute(insert(tables.head).values(id=1, count=0, hash=START, seal=first))


def _require_key(connection: Connection, key: DeskKey, settings: Settings) -> None:
    query = select(tables.desk.c.value).where(tables.desk.c.name == "key")
    kept = connection.execute(query).scalar_one()
    if not same(kept, seal(key.derived("chain"), "key")):
        raise InputError(
            f"{key.source}: is not the key of the ledger {shown(settings.url)}, expected the one "
            "that it was made with"
        )


def _refuse(engine: Engine, settings: Settings) -> None:
    with engine.connect() as connection:
        schema.check(connection, settings.url)
    raise InputError(f"{shown(settings.url)}: holds a ledger already, expected a new place")
