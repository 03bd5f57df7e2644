"""The vault from the ledger's side: every opening and every shredding is an entry."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, and_, select

from excise.desk.errors import Sealed
from excise.desk.ledger import people, tables
from excise.desk.ledger.book import Book
from excise.desk.ledger.entities import PartOfVault
from excise.desk.ledger.moving import mentions_of
from excise.desk.ledger.placing import placed
from excise.desk.ledger.reading import one
from excise.desk.ledger.rows import Row
from excise.records.errors import InputError


@contextmanager
def unlock(book: Book, id: str, actor: str, reason: str, part: PartOfVault) -> Iterator[Path]:
    """First the entry, then the data, in a private folder for as long as the block.

    Raises:
        Sealed: shredded, another key, changed. Unknown: no such request. InputError: no reason.
    """
    with book.write() as pen:
        one(pen.connection, id)
        reason = people.checked(
            reason, mentions_of(pen.connection, id), book.key.derived("subjects")
        )
        row = _row(pen.connection, id, part)
        if row is None:
            raise Sealed(f"{id}: has no {part} in the vault")
        if row["status"] != "sealed":
            raise Sealed(f"{id}: its {part} were shredded")
        content = {"part": part, "reason": reason}
        pen.entry("vault.unlocked", actor=actor, request=id, content=content)
    with book.vault.open(id, row["place"]) as folder:
        yield folder


def seal(book: Book, id: str, folder: Path, part: PartOfVault, actor: str) -> None:
    """Put a folder's files into the vault, in place of what that part held before.

    Raises:
        Unknown: no such request. InputError: the folder cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected the files to seal")
    with book.read() as connection:
        one(connection, id)
        old = _row(connection, id, part)

    def pack(tar: tarfile.TarFile) -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                tar.add(path, path.relative_to(folder).as_posix(), filter=_nameless)

    with book.vault.filling():
        place = book.vault.put(id, part, pack)
        values = {
            "place": place.name,
            "status": "sealed",
            "sha256": place.sha256,
            "size": place.size,
        }
        key = {"request": id, "part": part}
        with placed(book, id, place.name), book.write() as pen:
            if old is None:
                pen.insert(tables.sealed, key | values)
            else:
                pen.update(tables.sealed, key, values)
            pen.entry("vault.sealed", actor=actor, request=id, content={"part": part})
        if old is not None:
            book.vault.destroy(id, old["place"])


def shred(book: Book, id: str, actor: str, reason: str, part: PartOfVault | None) -> None:
    """Say it, destroy the keys, say that it is done: killed in between, `finish` goes on."""
    with book.write() as pen:
        request = one(pen.connection, id)
        meant = [
            name
            for name, status in request.sealed.items()
            if status == "sealed" and part in (None, name)
        ]
        if meant:
            reason = people.checked(
                reason, mentions_of(pen.connection, id), book.key.derived("subjects")
            )
            for name in meant:
                where = {"request": id, "part": name}
                pen.update(tables.sealed, where, {"status": "shredding"})
            content = {"parts": meant, "reason": reason}
            pen.entry("vault.shredding", actor=actor, request=id, content=content)
    finish(book, actor, id)


def finish(book: Book, actor: str, id: str | None = None) -> list[str]:
    """Carry out every shredding that was begun; of one request, or of all."""
    table = tables.sealed
    query = select(table).where(table.c.status == "shredding")
    if id is not None:
        query = query.where(table.c.request == id)
    with book.read() as connection:
        begun = list(connection.execute(query).mappings())
    for row in begun:
        book.vault.destroy(row["request"], row["place"])
        where = {"request": row["request"], "part": row["part"]}
        with book.write() as pen:
            now = _row(pen.connection, row["request"], row["part"])
            if now is not None and now["status"] == "shredding":  # not by somebody else since
                pen.update(tables.sealed, where, {"status": "shredded"})
                pen.entry(
                    "vault.shredded",
                    actor=actor,
                    request=row["request"],
                    content={"part": row["part"]},
                )
    return [f"{row['request']}: {row['part']} shredded" for row in begun]


def sweep(book: Book) -> list[str]:
    """Remove places in the vault that the ledger does not know, unless one is being filled."""
    table = tables.sealed
    done = []
    with book.vault.strays() as places:
        if places:
            with book.read() as connection:
                query = select(table.c.request, table.c.place).where(table.c.status != "shredded")
                known = {(row.request, row.place) for row in connection.execute(query)}
            for request, place in places:
                if (request, place) not in known:
                    book.vault.destroy(request, place)
                    done.append(f"{request}: removed what a process that was killed had begun")
    return done


def _row(connection: Connection, id: str, part: str) -> Row | None:
    table = tables.sealed
    query = select(table).where(and_(table.c.request == id, table.c.part == part))
    return connection.execute(query).mappings().first()


def _nameless(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mode = 0o600
    return info
