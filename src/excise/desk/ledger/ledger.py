"""The face of the ledger: everything that the desk's work, release and console may do with it.

Each method is one short transaction. Writers take turns, on both databases: the head of the chain
is one row, and whoever holds it is the one that writes (on SQLite, the database's own lock). Every
method may raise `Locked` (somebody held the database for too long) and `InputError` (the database
cannot be reached any more); what else it raises it says.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from excise.desk.ledger import (
    batching,
    deciding,
    keeping,
    moving,
    opening,
    reading,
    registering,
    releasing,
    submitting,
)
from excise.desk.ledger.book import Book, Clock, now
from excise.desk.ledger.entities import (
    Batch,
    Broken,
    Decision,
    Entry,
    Health,
    Key,
    Model,
    PartOfVault,
    Release,
    Request,
    Step,
    Submission,
)
from excise.desk.ledger.moving import mentions_of
from excise.desk.ledger.pen import stamp
from excise.desk.ledger.people import checked, hashed
from excise.desk.ledger.rows import key_of, model_of
from excise.desk.ledger.states import State
from excise.desk.ledger.verifying import Walk, head_of, vault_problem
from excise.desk.settings import Settings
from excise.records.data import Data


class Ledger:
    """Made by `init` or `open`. May be shared between threads; after a fork, open it anew."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._secret = book.key.derived("subjects")

    @classmethod
    def init(
        cls,
        url: str | None = None,
        *,
        folder: str | Path | None = None,
        key_file: str | Path | None = None,
        upgrade: bool = False,
        actor: str = "init",
        clock: Clock = now,
    ) -> Ledger:
        """Make a new ledger, its folder and its key; with `upgrade`, bring an older one up to date.

        Raises:
            InputError: wrong URL, no such database, there is a ledger already, a newer schema.
        """
        settings = Settings.of(url, folder, key_file)
        return cls(opening.make(settings, upgrade=upgrade, actor=actor, clock=clock))

    @classmethod
    def open(
        cls,
        url: str | None = None,
        *,
        folder: str | Path | None = None,
        key_file: str | Path | None = None,
        clock: Clock = now,
    ) -> Ledger:
        """One that is there; folders that dead processes left unlocked are removed.

        Raises:
            InputError: wrong URL, no such database, an older or newer schema, no key or another.
        """
        return cls(opening.reopen(Settings.of(url, folder, key_file), clock))

    def close(self) -> None:
        """Give the connections back."""
        self._book.engine.dispose()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def settings(self) -> Settings:
        """Where everything lies."""
        return self._book.settings

    @property
    def key_source(self) -> str:
        """Where the desk's key came from: its file, or the name of a variable."""
        return self._book.key.source

    # models

    def register_model(
        self,
        name: str,
        source: str,
        weights_hash: str,
        *,
        actor: str,
        settings: Mapping[str, Any] | None = None,
    ) -> tuple[str, ...]:
        """Enter a model, or its new base; the ids that are queued again.

        A new hash queues again what was released, passed, failed or at work on the old one, drops
        the open batches (their workers get `LeaseLost`) and leaves no release current.

        Raises:
            InputError: no name, source or hash.
        """
        with self._book.write() as pen:
            return registering.register_model(pen, name, source, weights_hash, settings, actor)

    def model(self, name: str) -> Model:
        """Raises Unknown."""
        with self._book.read() as connection:
            return reading.require_model(connection, name)

    def models(self) -> list[Model]:
        """By name."""
        with self._book.read() as connection:
            return [model_of(row) for row in reading.all_models(connection)]

    # requests

    def submit(self, submission: Submission, *, actor: str) -> str:
        """Register a request, seal what came with it, and return its id, such as `r-3f9a1c`.

        Raises:
            Duplicate: the person has a request for one of the models (`first` is its id).
            Unknown: a model is not registered.
            InputError: nobody or several people, records that contradict each other, no picture,
                a deadline that is past.
        """
        return submitting.submit(self._book, submission, actor)

    def attach(self, id: str, data: Data, *, actor: str) -> None:
        """Add the records that were made for a request that came with a name or pictures only.

        Raises:
            NotAllowed: it has records, or is decided already. InputError: as for `submit`.
        """
        submitting.attach(self._book, id, data, actor)

    def request(self, id: str) -> Request:
        """Raises Unknown."""
        with self._book.read() as connection:
            return reading.one(connection, id)

    def requests(
        self,
        *,
        states: Collection[State] | None = None,
        model: str | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> list[Request]:
        """Nearest deadline first; `after` is the last id of the page before.

        With a model, `states` are those that the requests have on it.

        Raises:
            Unknown, InputError: no such model, id, state, or a limit outside 1 to 1000.
        """
        with self._book.read() as connection:
            return reading.many(connection, states, model, limit, after)

    def has_asked(self, subject: str, model: str) -> bool:
        """Whether that person (clear text, hashed here) has a request for the model, withdrawn
        ones not counted."""
        with self._book.read() as connection:
            return reading.has_asked(connection, hashed(subject, self._secret), model)

    def counts(self, model: str | None = None) -> dict[State, int]:
        """How many requests are in each state; all states are there."""
        with self._book.read() as connection:
            return reading.counts(connection, model)

    def move(
        self,
        id: str,
        state: State,
        *,
        actor: str,
        model: str | None = None,
        reason: str = "",
        figures: Mapping[str, Any] | None = None,
        run: str | None = None,
        evidence: Mapping[str, Any] | None = None,
    ) -> Request:
        """One move of the table in `states.py`; `model` may be left out where all are alike.

        Into `forgetting`, `auditing`, `passed`, `failed` only by the worker that holds the batch:
        `actor` is its name. `released` comes from `release`, `withdrawn` from `withdraw`.

        Raises:
            NotAllowed: not from this state. LeaseLost. Unknown. InputError: the reason.
        """
        moving.refuse_short_cut(state)
        noted = {"figures": figures, "run": run, "evidence": evidence}
        with self._book.write() as pen:
            moving.move(
                pen,
                id,
                state,
                actor=actor,
                secret=self._secret,
                model=model,
                reason=reason,
                noted=noted,
            )
            return reading.one(pen.connection, id)

    def note(
        self,
        id: str,
        *,
        actor: str,
        model: str | None = None,
        figures: Mapping[str, Any] | None = None,
        run: str | None = None,
        evidence: Mapping[str, Any] | None = None,
    ) -> Request:
        """What `move` writes besides the state, without a move. Raises Unknown, InputError."""
        noted = {"figures": figures, "run": run, "evidence": evidence}
        with self._book.write() as pen:
            moving.note(pen, id, actor, model, noted)
            return reading.one(pen.connection, id)

    def decide(self, id: str, decision: Decision, reason: str, *, actor: str) -> Request:
        """accept: identified -> queued. refuse, under the exception that the reason names:
        -> withdrawn, and shredded.

        Raises:
            NotAllowed: not identified, no records, decided. Unknown. InputError: the reason.
        """
        with self._book.write() as pen:
            deciding.decide(pen, id, decision, reason, actor=actor, secret=self._secret)
        keeping.finish(self._book, actor, id)
        return self.request(id)

    def extend(self, id: str, months: int, reason: str, *, actor: str) -> Request:
        """Two months at most, within the first month (GDPR art. 12(3)).

        Raises:
            NotAllowed: too late, or closed. Unknown. InputError: the months, the reason.
        """
        with self._book.write() as pen:
            deciding.extend(self._book, pen, id, months, reason, actor)
            return reading.one(pen.connection, id)

    def withdraw(self, id: str, reason: str, *, actor: str) -> Request:
        """Close it without erasure and shred what came with it.

        Raises:
            NotAllowed: it is released, or withdrawn already. Unknown. InputError: the reason.
        """
        with self._book.write() as pen:
            deciding.withdraw(pen, id, reason, actor=actor, secret=self._secret)
        keeping.finish(self._book, actor, id)
        return self.request(id)

    # the vault

    def unlock(
        self, id: str, *, actor: str, reason: str, part: PartOfVault = "data"
    ) -> AbstractContextManager[Path]:
        """Logged first; then a data folder with `person.json` and `pictures/`, mode 700, for as
        long as the block runs.

        Raises:
            Sealed: shredded, wrong key, changed. Unknown. InputError: the reason.
        """
        return keeping.unlock(self._book, id, actor, reason, part)

    def seal(self, id: str, folder: Path, part: PartOfVault, *, actor: str) -> None:
        """Put a folder's files into the vault under a key of their own.

        Raises:
            Unknown. InputError: no such folder, or no room.
        """
        keeping.seal(self._book, id, folder, part, actor)

    def shred(self, id: str, *, actor: str, reason: str, part: PartOfVault | None = None) -> None:
        """Destroy the keys (None: of all parts), then the ciphertext; again, it does nothing.

        Raises:
            Unknown. InputError: the reason.
        """
        keeping.shred(self._book, id, actor, reason, part)

    def reason(self, text: str, requests: Collection[str]) -> str:
        """A reason that concerns several requests, on one line, as it may stand in the log.

        Raises:
            InputError: it is empty, too long, or names one of the people.
        """
        with self._book.read() as connection:
            known = {found for id in requests for found in mentions_of(connection, id)}
        return checked(text, known, self._secret)

    def tidy(self, *, actor: str = "tidy") -> list[str]:
        """Finish what a killed process left: begun shreddings, half-made items of the vault,
        unlocked folders. A line for each thing done. For workers to call before they claim.
        """
        swept = self._book.vault.sweep()
        lines = [f"{swept} unlocked folders of dead processes removed"] if swept else []
        return lines + keeping.finish(self._book, actor) + keeping.sweep(self._book)

    # work

    def claim(
        self, worker: str, *, limit: int, lease_seconds: float, model: str | None = None
    ) -> Batch | None:
        """A batch to work on, or None: first one whose lease lapsed (or that this worker has), else
        a new one, of the model of the request with the nearest deadline.

        Names of workers are their own: host and process, say. One batch a worker at a time.

        Raises:
            NotAllowed: SQLite, and another worker is at work. Unknown: the model. InputError.
        """
        return batching.claim(self._book, worker, limit, lease_seconds, model)

    def heartbeat(self, batch: Batch, worker: str, *, lease_seconds: float) -> Batch:
        """Prolong the lease; the batch as it is now. Raises LeaseLost."""
        return batching.heartbeat(self._book, batch, worker, lease_seconds)

    def batch(self, id: str) -> Batch:
        """Raises Unknown."""
        with self._book.read() as connection:
            return batching.one(connection, id)

    def batches(self, *, open_only: bool = True) -> list[Batch]:
        """Oldest first."""
        with self._book.read() as connection:
            return batching.many(connection, open_only)

    def finish(self, batch: Batch, worker: str) -> None:
        """Close it. Raises NotAllowed: some of it is still at work. LeaseLost."""
        with self._book.write() as pen:
            batching.finish(pen, batch, worker)

    def give_back(self, batch: Batch, worker: str) -> None:
        """The lease lapses now; the next claim goes on with the same batch and its steps.

        Raises:
            LeaseLost.
        """
        batching.lapse(self._book, batch, worker)

    def step(
        self,
        batch: Batch,
        name: str,
        status: Literal["started", "done", "failed"],
        result: Mapping[str, Any] | None = None,
        *,
        request: str | None = None,
    ) -> Step:
        """Note a step; one that is done stays as it is, and is returned.

        Raises:
            LeaseLost: `batch.worker` has it no more. InputError: the request is not in the batch.
        """
        with self._book.write() as pen:
            return batching.step(pen, batch, name, status, result, request)

    def hold(self, model: str, worker: str, *, lease_seconds: float) -> bool:
        """Be the one that releases on this model; the same worker again prolongs it.

        Raises:
            Unknown.
        """
        self.model(model)
        time = self._book.clock()
        until = time + timedelta(seconds=lease_seconds)
        with self._book.touch() as connection:
            taken = registering.hold(stamp(time), stamp(until), model, worker)
            return connection.execute(taken).rowcount == 1

    def let_go(self, model: str, worker: str) -> None:
        """Give up what `hold` got."""
        self.hold(model, worker, lease_seconds=-1)

    # releases

    def releases(self, model: str | None = None) -> list[Release]:
        """Newest first. Raises Unknown."""
        with self._book.read() as connection:
            return releasing.many(connection, model)

    def current(self, model: str) -> Release | None:
        """The release that ought to be served."""
        with self._book.read() as connection:
            return releasing.current(connection, model)

    def release(
        self,
        model: str,
        *,
        kind: Literal["merged", "lora"],
        folder: str,
        weights_hash: str,
        manifest_hash: str,
        requests: Collection[str],
        actor: str,
        after: str | None,
        figures: Mapping[str, Any] | None = None,
        batch: Batch | None = None,
        instead_of: str | None = None,
        reopen: Collection[str] = (),
        reason: str = "",
    ) -> Release:
        """Make it the current one, and what it covers `released`, in one transaction.

        `requests`: all that it covers, the earlier ones too; `after`: the current release on which
        it was built (None: there is none); `batch`: the one that it comes from, whose lease must
        hold. To roll back, `instead_of` names the current one, and `reopen` the requests that are
        queued again, whether this release still covers them or not.

        Raises:
            Stale: another came in between. NotAllowed: something new has not passed, or what is
            released would be left out. LeaseLost. Unknown. InputError: the reason of a rollback.
        """
        if instead_of is not None:
            reason = self.reason(reason, {*requests, *reopen})
        with self._book.write() as pen:
            if batch is not None:
                batching.require_lease(pen.connection, batch, batch.worker)
            return releasing.release(
                pen,
                model,
                requests=tuple(dict.fromkeys(requests)),
                after=after,
                instead_of=instead_of,
                reopen=reopen,
                reason=reason,
                actor=actor,
                figures=figures,
                made={
                    "kind": kind,
                    "folder": folder,
                    "weights_hash": weights_hash,
                    "manifest_hash": manifest_hash,
                },
            )

    def roll_back(
        self, release: str, *, reopen: Collection[str], reason: str, actor: str
    ) -> Release:
        """Mark the current release rolled back, with none in its place yet, and queue `reopen`.

        Where the rebuilt one is ready, `release(..., instead_of=...)` does both at once.

        Raises:
            NotAllowed, Unknown. InputError: the reason.
        """
        covered = next((r.requests for r in self.releases() if r.id == release), ())
        reason = self.reason(reason, covered)
        with self._book.write() as pen:
            return releasing.roll_back(pen, release, reopen, reason, actor)

    def record_health(
        self,
        model: str,
        figures: Mapping[str, Any],
        *,
        actor: str,
        batch: str | None = None,
        release: str | None = None,
    ) -> Health:
        """The model's figures after a batch, everything so far together. Raises Unknown."""
        with self._book.write() as pen:
            return releasing.record_health(pen, model, figures, actor, batch, release)

    def health(self, model: str) -> list[Health]:
        """Oldest first. Raises Unknown."""
        with self._book.read() as connection:
            return releasing.health(connection, model)

    # API keys: the console makes and hashes them, only hashes come here

    def add_key(self, name: str, role: str, hash: str, *, actor: str) -> Key:
        """Raises InputError: no such role, or the key exists."""
        with self._book.write() as pen:
            return registering.add_key(pen, name, role, hash, actor)

    def keys(self) -> list[Key]:
        """Oldest first, revoked ones too."""
        with self._book.read() as connection:
            return [key_of(row) for row in reading.all_keys(connection)]

    def key(self, hash: str) -> Key | None:
        """The key of that hash, unless it is revoked."""
        with self._book.read() as connection:
            row = reading.key_row(connection, hash)
        return None if row is None or row["revoked"] else key_of(row)

    def revoke_key(self, id: str, *, actor: str) -> Key:
        """Raises Unknown."""
        with self._book.write() as pen:
            return registering.revoke_key(pen, id, actor)

    # the log

    def entries(
        self, request: str | None = None, *, after: int = 0, limit: int = 1000
    ) -> list[Entry]:
        """In their order, from the one after number `after`. Raises Unknown."""
        with self._book.read() as connection:
            return reading.log(connection, request, after, limit)

    def log(
        self, kind: str, content: Mapping[str, Any], *, actor: str, request: str | None = None
    ) -> Entry:
        """An entry of somebody else's: a check of a served model, a login that failed.

        Raises:
            Unknown: the request.
        """
        with self._book.write() as pen:
            if request is not None:
                reading.one(pen.connection, request)
            return pen.entry(kind, actor=actor, request=request, content={"said": dict(content)})

    def head(self) -> str:
        """`COUNT:HASH`; noted elsewhere, it proves later that nothing up to it is gone."""
        with self._book.read() as connection:
            return head_of(connection)

    def verify(self, *, head: str | None = None, vault: bool = True) -> Broken | None:
        """The first thing that does not hold, or None: chain, head, tables, vault.

        Args:
            head: one that was noted earlier.
            vault: read every ciphertext too.

        Raises:
            InputError: `head` is none.
        """
        walk = Walk(self._book.key.derived("chain"), head)
        with self._book.read() as connection:
            broken = walk.follow(connection) or walk.compare(connection)
            if broken is None and vault:
                broken = vault_problem(connection, self._book.vault)
            return broken
