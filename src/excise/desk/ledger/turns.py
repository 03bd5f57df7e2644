"""A few threads at a time, in the order in which they came.

On SQLite the work is the process's own: fifty threads at once keep each other from the interpreter
until even a write of two milliseconds takes ten seconds. Four at a time, first come, first served,
lose nothing, and the slowest waits for no more than everybody's turn.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """So many places; whoever comes when all are taken stands in line."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._lock = threading.Lock()
        self._line: deque[threading.Event] = deque()

    @contextmanager
    def one(self, seconds: float) -> Iterator[None]:
        """Raises TimeoutError when the turn has not come after so long."""
        self._wait(seconds)
        try:
            yield
        finally:
            with self._lock:
                if self._line:
                    self._line.popleft().set()
                else:
                    self._free += 1

    def _wait(self, seconds: float) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            called = threading.Event()
            self._line.append(called)
        if called.wait(seconds):
            return
        with self._lock:
            if called.is_set():  # called just now: the place is ours
                return
            self._line.remove(called)
        raise TimeoutError
