"""What a running console holds: the ledger, who may ask how often, and answers that still hold.

All that can be read follows from the ledger, and the ledger's head names its state, so an answer
that was made once is given again until what it shows has changed (`kept`): a page of fifty requests
is made once for fifty readers. Everybody's request looks at the head first, so a revoked key ends
at once and a change of another process is seen by the next who asks. Those who come while one look
is under way share the next one: fifty at a time cost one query, not fifty. Answers that have to be
made are made together too, one after the other beside the loop, and the same one once for all who
wait for it: to hand each to a thread of its own costs more than to read it from the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio
from anyio.to_thread import run_sync

from excise.desk.console.kept import Kept
from excise.desk.console.keys import find
from excise.desk.console.limits import Buckets
from excise.desk.console.sessions import Sessions
from excise.desk.console.settings import Settings
from excise.desk.ledger.entities import Entry, Key
from excise.desk.ledger.ledger import Ledger

T = TypeVar("T")
THREADS = 4  # more would only wait for the interpreter lock
TOGETHER = 16  # answers made in one go; those who come meanwhile wait for its end
NEWS = 200  # entries since the last look that are read to see what changed
PAGE = 1_000  # entries of the log at a time


@dataclass(frozen=True)
class News:
    """What a look found that the last one had not."""

    head: str
    entries: list[Entry] | None  # since then; None if that is not all
    keys: list[Key]


@dataclass(frozen=True)
class Wanted:
    """An answer that is to be made."""

    name: Hashable
    make: Callable[[], Any]
    about: str | None
    head: str
    made: asyncio.Future[Any]


class Console:
    """One for each app; see the module."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self.ledger = ledger
        self.settings = settings
        self.by_key = Buckets(settings.by_key)
        self.wrong_keys = Buckets(settings.wrong_keys)
        self.sessions = Sessions(settings.session_hours)
        self.uploads = 0  # under way
        self.streams = 0
        self.ending = False  # live streams end themselves
        self.verifying = asyncio.Lock()
        self.head = ""
        self._keys: list[Key] = []
        self._kept = Kept()
        self._submitters: dict[str, str] = {}
        self._read_to = 0
        self._asking = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        self._wanted: dict[tuple[str, Hashable], Wanted] = {}  # by head and name
        self._maker: asyncio.Task[None] | None = None

    async def look(self) -> str:
        """Learn the ledger's head, asked for after this call began, and what follows from it."""
        if self._next is None:
            self._next = asyncio.create_task(self._look())
        await asyncio.shield(self._next)
        return self.head

    async def _look(self) -> None:
        async with self._asking:
            self._next = None  # whoever comes from here on needs a later look
            news = await self.in_thread(self._news)
            if news is None:
                return
            # All at once: an answer that was being made is either kept before, and dropped if it
            # is old, or finds that the head has moved.
            if news.entries is None:
                self._kept.clear()
            else:
                self._kept.changed(news.entries)
            self._keys, self.head = news.keys, news.head

    def _news(self) -> News | None:
        """None if there are none."""
        head = self.ledger.head()
        if head == self.head:
            return None
        (last, digest), (now, _) = (_parts(h) for h in (self.head, head))
        entries = None
        if 0 < last < now <= last + NEWS:
            entries = self.ledger.entries(after=last, limit=NEWS)
            if not entries or entries[0].previous != digest:  # another ledger in the same place
                entries = None
        return News(head, entries, self.ledger.keys())

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run what waits for the database, beside the loop."""
        return await run_sync(work, limiter=_limiter())

    async def answer(self, name: Hashable, make: Callable[[], T], about: str | None = None) -> T:
        """What `make` gives, kept under `name` until it changes (see `kept`); `look` comes before.

        Args:
            about: id of the request that it shows, and nothing else.
        """
        if (kept := self._kept.get(name)) is not None:
            return kept  # type: ignore[return-value]
        wanted = self._wanted.get((self.head, name))
        if wanted is None:  # one begun under another head may be older than this caller's look
            made = asyncio.get_running_loop().create_future()
            wanted = Wanted(name, make, about, self.head, made)
            self._wanted[self.head, name] = wanted
            if self._maker is None:
                self._maker = asyncio.create_task(self._make())
        found: T = await asyncio.shield(wanted.made)
        return found

    def kept(self, name: Hashable) -> object | None:
        """What `answer` keeps under that name, None if it has to be made."""
        return self._kept.get(name)

    async def _make(self) -> None:
        """Make what is wanted, until nothing is."""
        try:
            while self._wanted:
                batch = list(self._wanted.values())[:TOGETHER]
                for wanted, made in zip(batch, await self.in_thread(_all(batch)), strict=True):
                    del self._wanted[wanted.head, wanted.name]
                    if isinstance(made, Failed):
                        wanted.made.set_exception(made.error)
                        wanted.made.exception()  # nobody need be waiting for it any more
                        continue
                    if wanted.head == self.head:  # else it may show a state that is gone
                        self._kept.put(wanted.name, made, wanted.about)
                    wanted.made.set_result(made)
        finally:
            self._maker = None
            for wanted in self._wanted.values():  # there are some only if the loop is ending
                wanted.made.cancel()
            self._wanted.clear()

    def key(self, token: str) -> Key | None:
        """The key of that text, as of the last look."""
        return find(self._keys, token)

    def key_by_id(self, id: str) -> Key | None:
        """The same for a session, which remembers the key's id only."""
        return next((k for k in self._keys if k.id == id and not k.revoked), None)

    def has_keys(self) -> bool:
        return any(not key.revoked for key in self._keys)

    def submitted_by(self, key_id: str) -> list[str]:
        """Ids of the requests that came with this key, newest first; reads what the log has new."""
        while entries := self.ledger.entries(after=self._read_to, limit=PAGE):
            for entry in entries:
                if entry.kind == "request.submitted" and entry.request:
                    self._submitters[entry.request] = entry.actor
                self._read_to = max(self._read_to, entry.number)
        return [id for id, actor in reversed(self._submitters.items()) if actor == key_id]


@dataclass(frozen=True)
class Failed:
    """What stands for an answer that could not be made."""

    error: Exception


def _all(batch: list[Wanted]) -> Callable[[], list[Any]]:
    def make(wanted: Wanted) -> Any:
        try:
            return wanted.make()
        except Exception as error:
            return Failed(error)

    return lambda: [make(wanted) for wanted in batch]


def _parts(head: str) -> tuple[int, str]:
    count, _, digest = head.partition(":")
    return int(count or 0), digest


_LIMITERS: dict[int, anyio.CapacityLimiter] = {}


def _limiter() -> anyio.CapacityLimiter:
    """One for each event loop: a limiter belongs to the loop in which it is first used."""
    loop = id(asyncio.get_running_loop())
    if loop not in _LIMITERS:
        _LIMITERS.clear()
        _LIMITERS[loop] = anyio.CapacityLimiter(THREADS)
    return _LIMITERS[loop]
