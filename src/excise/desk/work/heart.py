"""A worker's heartbeat: its lease is prolonged while it trains, by a thread of its own.

When another worker has taken the batch over, the thread says so and the work stops at its next
step: every write to the ledger is checked against the lease too, so nothing is done twice.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from excise.desk.ledger import Batch, LeaseLost, Ledger
from excise.records.errors import ExciseError

WAIT = 0.5


class Heart:
    """Beats inside the `with` block, three times in the length of the lease."""

    def __init__(self, ledger: Ledger, batch: Batch, worker: str, lease_seconds: float) -> None:
        self._ledger, self._batch = ledger, batch
        self._worker, self._seconds = worker, lease_seconds
        self._over = threading.Event()
        self._lost: LeaseLost | None = None
        self._held: str | None = None
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Heart:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def require(self) -> None:
        """Raise LeaseLost if the batch is another worker's by now."""
        if self._lost is not None:
            raise self._lost

    @contextmanager
    def holding(self, model: str) -> Iterator[None]:
        """Be the only one that releases on a model; waits for whoever is, or until it is dead."""
        while not self._ledger.hold(model, self._worker, lease_seconds=self._seconds):
            self.require()
            self._over.wait(WAIT)
        self._held = model
        try:
            yield
        finally:
            self._held = None
            self._ledger.let_go(model, self._worker)

    def _run(self) -> None:
        while not self._over.wait(self._seconds / 3):
            held = self._held
            try:
                self._ledger.heartbeat(self._batch, self._worker, lease_seconds=self._seconds)
                if held is not None:  # lost, the release is refused as stale
                    self._ledger.hold(held, self._worker, lease_seconds=self._seconds)
            except LeaseLost as lost:
                self._lost = lost
                return
            except ExciseError:
                continue  # the database is busy or away; the next beat may be in time
