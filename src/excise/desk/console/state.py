"""What a running console holds: the ledger, who may ask how often, and answers that still hold.

All that can be read follows from the ledger, and the ledger's head names its state, so an answer
that was made once is given again until what it shows has changed (`kept`): a page of fifty requests
is made once for fifty readers. Everybody's request looks at the head first, so a revoked key ends
at once and a change of another process is seen by the next who asks. Those who come while one look
is under way share the next one: fifty at a time cost one query, not fifty.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import TypeVar

import anyio
from anyio.to_thread import run_sync

from excise.desk.console.kept import Kept
from excise.desk.console.keys import find
from excise.desk.console.limits import Buckets
from excise.desk.console.sessions import Sessions
from excise.desk.console.settings import Settings
from excise.desk.ledger.entities import Key
from excise.desk.ledger.ledger import Ledger

T = TypeVar("T")
THREADS = 4  # more would only wait for the interpreter lock
NEWS = 200  # entries since the last look that are read to see what changed
PAGE = 1_000  # entries of the log at a time


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

    async def look(self) -> str:
        """Learn the ledger's head, asked for after this call began, and what follows from it."""
        if self._next is None:
            self._next = asyncio.create_task(self._look())
        await asyncio.shield(self._next)
        return self.head

    async def _look(self) -> None:
        async with self._asking:
            self._next = None  # whoever comes from here on needs a later look
            head = await self.in_thread(self.ledger.head)
            if head != self.head:
                await self._learn(head)

    async def _learn(self, head: str) -> None:
        last, now = (int(h.partition(":")[0] or 0) for h in (self.head, head))
        if 0 < last < now <= last + NEWS:
            news = await self.in_thread(lambda: self.ledger.entries(after=last, limit=NEWS))
            self._kept.changed(news)
        else:  # the first look, much at once, or another ledger in the same place
            self._kept.clear()
        self._keys = await self.in_thread(self.ledger.keys)
        self.head = head

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run what waits for the database, beside the loop."""
        return await run_sync(work, limiter=_limiter())

    async def answer(self, name: Hashable, make: Callable[[], T], about: str | None = None) -> T:
        """What `make` gives, kept under `name` until it changes (see `kept`); `look` comes before.

        Args:
            about: id of the request that it shows, and nothing else.
        """
        head = self.head
        if name in self._kept:
            return self._kept[name]  # type: ignore[return-value]
        made = await self.in_thread(make)
        if head == self.head:  # else it may show a state that is gone
            self._kept.put(name, made, about)
        return made

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


_LIMITERS: dict[int, anyio.CapacityLimiter] = {}


def _limiter() -> anyio.CapacityLimiter:
    """One for each event loop: a limiter belongs to the loop in which it is first used."""
    loop = id(asyncio.get_running_loop())
    if loop not in _LIMITERS:
        _LIMITERS.clear()
        _LIMITERS[loop] = anyio.CapacityLimiter(THREADS)
    return _LIMITERS[loop]
