"""A place in the vault and the row that names it: both, or neither."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import and_, select

from excise.desk.ledger import tables
from excise.desk.ledger.book import Book


@contextmanager
def placed(book: Book, request: str, place: str) -> Iterator[None]:
    """For the transaction that enters a filled place: if it fails, the place goes.

    Only once the ledger was seen not to know it: a connection that breaks during a commit leaves
    open whether it was made, and what is entered must not be destroyed. What cannot be seen now is
    left for `tidy`.
    """
    try:
        yield
    except BaseException:
        with suppress(Exception):
            if not _known(book, request, place):
                book.vault.destroy(request, place)
        raise


def _known(book: Book, request: str, place: str) -> bool:
    table = tables.sealed
    query = select(table.c.part).where(and_(table.c.request == request, table.c.place == place))
    with book.read() as connection:
        return connection.execute(query).first() is not None
