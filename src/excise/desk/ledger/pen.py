"""One writing transaction: rows change, and an entry of the chain says so, or neither happens.

Whoever writes holds the head of the chain, so entries are numbered without gaps and writers never
wait for one another in a circle. Held for milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, and_, insert, select, update

from excise.desk.ledger import tables
from excise.desk.ledger.canonical import canonical
from excise.desk.ledger.chain import link, seal
from excise.desk.ledger.entities import Entry


class Pen:
    """Writes tracked rows and the entries that tell of them."""

    def __init__(self, connection: Connection, key: bytes, time: datetime) -> None:
        self.connection = connection
        self.time = stamp(time)
        self.now = time
        self._key = key
        self._rows: list[list[Any]] = []
        # On PostgreSQL this is where writers queue up; on SQLite they did so when they began.
        head = connection.execute(select(tables.head).with_for_update()).mappings().one()
        self._count, self._hash = int(head["count"]), str(head["hash"])

    def insert(self, table: Table, values: Mapping[str, Any]) -> None:
        """A new row; all its tracked columns go into the next entry."""
        self.connection.execute(insert(table).values(**values))
        self._note(table, values, {name: values.get(name) for name in tables.tracked(table)})

    def update(self, table: Table, key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """New values in one row; they go into the next entry."""
        where = and_(*(table.c[name] == value for name, value in key.items()))
        changed = self.connection.execute(update(table).where(where).values(**values)).rowcount
        if changed != 1:
            raise RuntimeError(f"{table.name}: {changed} rows changed instead of one")
        kept = set(tables.tracked(table))
        self._note(table, key, {name: v for name, v in values.items() if name in kept})

    def entry(
        self,
        kind: str,
        *,
        actor: str,
        request: str | None = None,
        content: Mapping[str, Any] | None = None,
    ) -> Entry:
        """Append to the chain what was written since the last entry, and `content`."""
        said = canonical({**(content or {}), "rows": self._rows})
        self._rows = []
        number, previous = self._count + 1, self._hash
        digest = link(number, self.time, actor, kind, request, said, previous)
        row = {
            "number": number,
            "time": self.time,
            "actor": actor,
            "kind": kind,
            "request": request,
            "content": said,
            "previous": previous,
            "hash": digest,
        }
        self.connection.execute(
            insert(tables.entries).values(**row, seal=seal(self._key, "entry", digest))
        )
        self.connection.execute(
            update(tables.head).values(
                count=number, hash=digest, seal=seal(self._key, "head", number, digest)
            )
        )
        self._count, self._hash = number, digest
        return Entry(**{**row, "time": self.now, "content": json.loads(said)})

    def finish(self) -> None:
        """Make sure, before the commit, that every change was told."""
        if self._rows:
            raise RuntimeError("rows were changed without an entry")

    def _note(self, table: Table, key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        self._rows.append([table.name, [key[name] for name in tables.key_of(table)], dict(values)])


def stamp(time: datetime) -> str:
    """ISO 8601 with microseconds: as text it sorts as it does as a time."""
    return time.isoformat(timespec="microseconds")
