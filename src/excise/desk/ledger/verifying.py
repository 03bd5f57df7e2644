"""Does the log hold, and do the tables say what it says last?

First the chain, entry by entry; then the head; then every tracked row against the last word of the
log on it; then the ciphertexts in the vault. One pass over the log, memory of the tables' size:
10,000 entries take about a second.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, select

from excise.desk.ledger import tables
from excise.desk.ledger.canonical import canonical
from excise.desk.ledger.chain import START, link, same, seal
from excise.desk.ledger.entities import Broken
from excise.desk.vault.vault import Vault
from excise.records.errors import InputError

NOUNS = {
    "models": "model",
    "requests": "request",
    "parts": "request",
    "sealed": "request",
    "batches": "batch",
    "steps": "step of batch",
    "releases": "release",
    "health": "health of model",
    "api_keys": "key",
}


class Walk:
    """Follows the chain and keeps the last word on every row."""

    def __init__(self, key: bytes, noted: str | None) -> None:
        self._key = key
        self._noted = None if noted is None else _parsed(noted)
        self.count, self.hash = 0, START
        self.rows: dict[tuple[str, str], dict[str, Any]] = {}
        self.told_by: dict[tuple[str, str], int] = {}

    def follow(self, connection: Connection) -> Broken | None:
        """The first entry that breaks the chain."""
        query = select(tables.entries).order_by(tables.entries.c.number)
        for row in connection.execute(query.execution_options(yield_per=500)).mappings():
            number = row["number"]
            if number != self.count + 1:
                return _broken(self.count + 1, "is missing")
            if row["previous"] != self.hash:
                return _broken(number, "does not follow the one before it")
            said = [
                row[name]
                for name in ("number", "time", "actor", "kind", "request", "content", "previous")
            ]
            if row["hash"] != link(*said):
                return _broken(number, "was changed: its content does not give its hash")
            if not same(row["seal"], seal(self._key, "entry", row["hash"])):
                return _broken(number, "was not sealed with this desk's key")
            self.count, self.hash = number, row["hash"]
            self._learn(number, row["content"])
            if self._noted is not None and self._noted[0] == number and self._noted[1] != self.hash:
                return _broken(number, "is another one than in the head that was noted")
        return self._end(connection)

    def compare(self, connection: Connection) -> Broken | None:
        """The row whose present state is not the log's last word, the one told of first."""
        wrong = sorted(self._differing(connection), key=lambda broken: broken.entry or 0)
        return wrong[0] if wrong else None

    def _end(self, connection: Connection) -> Broken | None:
        if self._noted is not None and self._noted[0] > self.count:
            return _broken(self.count + 1, "is missing: the head that was noted counts it")
        head = connection.execute(select(tables.head)).mappings().first()
        if head is None:
            return Broken("head", "is missing")
        if not same(head["seal"], seal(self._key, "head", head["count"], head["hash"])):
            return Broken("head", "was not sealed with this desk's key")
        if head["count"] > self.count:
            return _broken(self.count + 1, f"is missing: the head counts {head['count']}")
        if head["count"] < self.count or head["hash"] != self.hash:
            return Broken("head", f"is that of entry {head['count']}, the log has {self.count}")
        return None

    def _learn(self, number: int, content: str) -> None:
        for table, key, values in json.loads(content)["rows"]:
            name = (table, canonical(key))
            self.rows.setdefault(name, {}).update(values)
            self.told_by[name] = number

    def _differing(self, connection: Connection) -> Iterator[Broken]:
        for table in tables.TRACKED:
            here = set()
            names, keys = tables.tracked(table), tables.key_of(table)
            for row in connection.execute(select(table)).mappings():
                name = (table.name, canonical([row[key] for key in keys]))
                here.add(name)
                said, number = self.rows.get(name), self.told_by.get(name)
                shown = f"{NOUNS[table.name]} {row[keys[0]]}"
                if said is None:
                    yield Broken(shown, f"is in {table.name}, but the log never told of it", None)
                    continue
                changed = [column for column in names if said.get(column) != row[column]]
                if changed:
                    columns = ", ".join(changed)
                    yield Broken(
                        shown,
                        f"{table.name}.{columns} is not what entry {number} says last",
                        number,
                    )
            for name in sorted(self.told_by.keys() - here):
                if name[0] == table.name:
                    number = self.told_by[name]
                    shown = f"{NOUNS[table.name]} {self.rows[name].get(keys[0])}"
                    yield Broken(
                        shown, f"is missing from {table.name}; entry {number} tells of it", number
                    )


def head_of(connection: Connection) -> str:
    """`COUNT:HASH` of the head as it is."""
    head = connection.execute(select(tables.head)).mappings().one()
    return f"{head['count']}:{head['hash']}"


def vault_problem(connection: Connection, vault: Vault) -> Broken | None:
    """The first sealed item whose ciphertext is not what was sealed. Reads all of them."""
    table = tables.sealed
    query = select(table).where(table.c.status == "sealed").order_by(table.c.request)
    for row in connection.execute(query).mappings():
        problem = vault.problem(row["request"], row["place"], row["sha256"])
        if problem is not None:
            return Broken(f"vault {row['request']}", problem)
    return None


def _broken(number: int, reason: str) -> Broken:
    return Broken(f"entry {number}", reason, number)


def _parsed(noted: str) -> tuple[int, str]:
    count, _, digest = noted.strip().partition(":")
    if not count.isdecimal() or len(digest) != 64:
        raise InputError(f"head: {noted[:80]}, expected COUNT:HASH as excise desk verify prints it")
    return int(count), digest
