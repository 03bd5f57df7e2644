"""Answers that were made once and are given again until something that they show has changed.

Each is about one request, or about the ledger as a whole. New entries of the log say what changed:
an entry about a request takes away what is about that request and about the whole; any other entry
(a batch, a release, a key, a model) takes away everything. So a request that nobody touches is
drawn once, however often it is read and whatever happens to the others. At most `MOST` bytes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from excise.desk.ledger.entities import Entry

MOST = 64 * 2**20
VALUES = 2**16  # what values that are no bytes count as


@dataclass(frozen=True)
class Answer:
    """JSON of the API, and the route that made it, for the log."""

    body: bytes
    route: Any


class Kept:
    """Values by name."""

    def __init__(self) -> None:
        self._values: dict[Hashable, tuple[str | None, object]] = {}
        self._names: dict[str | None, set[Hashable]] = {}
        self._size = 0

    def __contains__(self, name: Hashable) -> bool:
        return name in self._values

    def get(self, name: Hashable) -> object | None:
        """None if it is not kept; no value is None."""
        return self._values.get(name, (None, None))[1]

    def put(self, name: Hashable, value: object, about: str | None) -> None:
        """Keep a value; `about` is a request's id, or None for the ledger as a whole."""
        if self._size + _size(value) > MOST:
            self.clear()
        self._values[name] = (about, value)
        self._names.setdefault(about, set()).add(name)
        self._size += _size(value)

    def changed(self, entries: Iterable[Entry]) -> None:
        """Drop what new entries of the log make untrue."""
        requests = {entry.request for entry in entries}
        if None in requests:
            self.clear()
            return
        for about in (None, *requests):
            for name in self._names.pop(about, ()):
                self._size -= _size(self._values.pop(name)[1])

    def clear(self) -> None:
        self._values.clear()
        self._names.clear()
        self._size = 0


def _size(value: object) -> int:
    if isinstance(value, Answer):
        return len(value.body)
    return len(value) if isinstance(value, bytes) else VALUES
