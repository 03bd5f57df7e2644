"""The worker: takes a batch of queued requests and carries it to a release, whatever happens to it.

    claim -> for each request: forget -> audit all of them together -> the ladder for who failed
          -> export, verify, sign -> release -> seal the probes, shred the data

Each arrow ends in a step noted in the ledger, and everything before the note can be done again:
runs, exports and evidence are folders that appear whole or not at all, named by batch and request.
So after `kill -9` the next worker that claims the batch goes on behind the last step, and no
release is ever half there: it becomes the current one in a single transaction after its folder is
verified.

A batch that ends in an error is given back and tried again; after the third time its requests fail
with the error as the reason, so that one broken batch holds up neither the others nor itself: who
has mended the cause queues them again.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from excise.desk.ledger import Batch, LeaseLost, Ledger, Locked, Request, State
from excise.desk.ledger.people import LONGEST
from excise.desk.release.tidying import tidy_files
from excise.desk.work.batch import LIVE, BatchWork
from excise.desk.work.forgetting import Train, train
from excise.desk.work.heart import Heart
from excise.records.errors import ExciseError

LEASE = 120.0
"""Seconds; the heart beats three times in it. A killed worker's batch is free when it is over."""
IDLE = 5.0
TRIES = 3
"""Errors in one batch after which its requests fail."""
BROKEN = "broken"
"""Name of the step that counts them."""


class Worker:
    """Works off one ledger; several on PostgreSQL share it, SQLite serves one.

    Args:
        name: who it is, in leases and in the log. Never the same for two that live at once; host,
            process and a random word if None.
        limit: requests in a batch.
        make_run: the training step, to be replaced by a cluster's own.
        tell: is given a line for each thing done; none of them holds personal data.
        idle: seconds between two looks for work, and after an error.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        name: str | None = None,
        limit: int = 8,
        lease_seconds: float = LEASE,
        make_run: Train = train,
        tell: Callable[[str], None] = lambda line: None,
        idle: float = IDLE,
    ) -> None:
        self.ledger = ledger
        self.name = name or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        self.limit = limit
        self.lease_seconds = lease_seconds
        self.make_run = make_run
        self.tell = tell
        self.idle = idle

    def run(self, *, once: bool = False, model: str | None = None) -> int:
        """Work for ever, or (`once`) until nothing is queued; how many batches were finished.

        Raises:
            ExciseError: with `once` only: what was wrong with a batch, or another worker is at
                work on SQLite. The batch is given back as it is.
        """
        self._tidy()
        finished, said = 0, ""
        while True:
            try:
                batch = self._claim(model)
                if batch is not None:
                    said = ""
                    finished += self.work(batch)
                    continue
            except ExciseError as error:
                if once:
                    raise
                if str(error) != said:
                    said = str(error)
                    self.tell(said)
            if once:
                return finished
            time.sleep(self.idle)

    def work(self, batch: Batch) -> bool:
        """Carry one claimed batch to its end; False if it is another worker's by now.

        Whatever goes wrong, the batch is given back as it is, and the error goes on to the caller,
        unless it was the last try.
        """
        verb = "going on with" if batch.resumed else "starting"
        self.tell(f"{verb} batch {batch.id}: {len(batch.requests)} requests for {batch.model.name}")
        try:
            with Heart(self.ledger, batch, self.name, self.lease_seconds) as heart:
                BatchWork(self, batch, heart).run()
            return True
        except LeaseLost:
            self.tell(f"batch {batch.id} is another worker's by now")
            return False
        except Locked:
            self._give_back(batch)  # the database is busy, and nothing is wrong with the batch
            raise
        except Exception as error:
            if self._broken(batch, error):
                return True
            self._give_back(batch)
            raise
        except BaseException:  # Ctrl-C
            self._give_back(batch)
            raise

    def _broken(self, batch: Batch, error: Exception) -> bool:
        """Count an error; whether it was the last one, after which the batch is over."""
        known = isinstance(error, ExciseError)
        line = str(error) if known else f"unexpected {type(error).__name__}"
        with suppress(ExciseError):  # then neither counted nor failed: the lease lapses
            now = self.ledger.batch(batch.id)
            counted = [step for step in now.steps if step.name == BROKEN]
            tries = 1 + sum(step.result["tries"] for step in counted)
            self.ledger.step(batch, BROKEN, "failed", {"tries": tries, "error": line})
            self.tell(f"batch {batch.id}: {line} (try {tries} of {TRIES})")
            if tries < TRIES:
                return False
            for request in now.requests:
                state = request.part(batch.model.name).state
                if state == "queued":
                    self._move(request, batch, "forgetting")
                if state in LIVE:
                    self._move(request, batch, "failed", f"given up after {TRIES} errors: {line}")
            self.ledger.finish(batch, self.name)
            self.tell(f"batch {batch.id}: its requests failed; mend the cause and queue them again")
            return True
        return False

    def _move(self, request: Request, batch: Batch, state: State, reason: str = "") -> None:
        self.ledger.move(
            request.id, state, actor=self.name, model=batch.model.name, reason=reason[:LONGEST]
        )

    def _claim(self, model: str | None) -> Batch | None:
        try:
            return self.ledger.claim(
                self.name, limit=self.limit, lease_seconds=self.lease_seconds, model=model
            )
        except Locked:
            return None

    def _give_back(self, batch: Batch) -> None:
        with suppress(ExciseError):  # it lapses by itself
            self.ledger.give_back(batch, self.name)

    def _tidy(self) -> None:
        """Finish what killed workers left; where the database is busy, another time will do."""
        with suppress(Locked):
            for line in self.ledger.tidy(actor=self.name):
                self.tell(line)
            tidy_files(self.ledger)
