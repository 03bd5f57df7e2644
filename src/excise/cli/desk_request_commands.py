"""`excise desk identify|attach|decide|extend|withdraw|shred`: what happens to one request.

Each is an entry in the log, with who did it and why.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from excise.cli.desk_commands import Actor, Db, Folder, Id, KeyFile, _actor

if TYPE_CHECKING:
    from excise.desk.ledger import Request

Reason = Annotated[str, typer.Option(help="Why; it stays in the log for ever: name nobody.")]


def identify(
    id: Id,
    reason: Reason = "identity checked",
    db: Db = None,
    folder: Folder = None,
    key_file: KeyFile = None,
    actor: Actor = None,
) -> None:
    """Note that the person is who they say they are."""
    from excise.desk.ledger import Ledger

    with Ledger.open(db, folder=folder, key_file=key_file) as ledger:
        _tell(ledger.move(id, "identified", actor=_actor(actor), reason=reason))


def attach(
    id: Id,
    data: Annotated[Path, typer.Option(help="The records that were made of the person.")],
    db: Db = None,
    folder: Folder = None,
    key_file: KeyFile = None,
    actor: Actor = None,
) -> None:
    """Add records to a request that came with a name or pictures only."""
    from excise.desk.ledger import Ledger
    from excise.records.reading import read

    with Ledger.open(db, folder=folder, key_file=key_file) as ledger:
        ledger.attach(id, read(data), actor=_actor(actor))
        _tell(ledger.request(id))


def decide(
    id: Id,
    decision: Annotated[str, typer.Argument(help="accept, or refuse under an exception.")],
    reason: Reason,
    db: Db = None,
    folder: Folder = None,
    key_file: KeyFile = None,
    actor: Actor = None,
) -> None:
    """Accept a request, which queues it, or refuse it, which shreds what came with it."""
    from excise.desk.ledger import Ledger

    with Ledger.open(db, folder=folder, key_file=key_file) as ledger:
        _tell(ledger.decide(id, decision, reason, actor=_actor(actor)))  # type: ignore[arg-type]


def extend(
    id: Id,
    reason: Reason,
    months: Annotated[int, typer.Option(help="1 or 2, all together.")] = 1,
    db: Db = None,
    folder: Folder = None,
    key_file: KeyFile = None,
    actor: Actor = None,
) -> None:
    """Extend the deadline, within the first month."""
    from excise.desk.ledger import Ledger

    with Ledger.open(db, folder=folder, key_file=key_file) as ledger:
        _tell(ledger.extend(id, months, reason, actor=_actor(actor)))


def withdraw(
    id: Id,
    reason: Reason,
    db: Db = None,
    folder: Folder = None,
    key_file: KeyFile = None,
    actor: Actor = None,
) -> None:
    """Close a request without erasure and shred what came with it."""
    from excise.desk.ledger import Ledger

    with Ledger.open(db, folder=folder, key_file=key_file) as ledger:
        _tell(ledger.withdraw(id, reason, actor=_actor(actor)))


def shred(
    id: Id,
    reason: Reason,
    db: Db = None,
    folder: Folder = None,
    key_file: KeyFile = None,
    actor: Actor = None,
) -> None:
    """Destroy the probes of a request that is closed: it can never be asked about again.

    For the end: the model is retired, or nobody may keep even the questions any longer. Later
    audits, `desk check` and a new base go without them.
    """
    from excise.desk.errors import NotAllowed
    from excise.desk.ledger import Ledger

    with Ledger.open(db, folder=folder, key_file=key_file) as ledger:
        request = ledger.request(id)
        if request.state not in ("released", "withdrawn"):
            raise NotAllowed(f"{id}: is {request.state}, expected a request that is closed")
        if request.sealed.get("probes") != "sealed":
            raise NotAllowed(f"{id}: has no probes in the vault")
        ledger.shred(id, actor=_actor(actor), reason=reason, part="probes")
        print(f"request: {id}, its probes are shredded")


def _tell(request: Request) -> None:
    print(f"request: {request.id}, {request.state}, to be answered by {request.deadline}")
