"""`excise desk work|check|rollback`: carry requests out, watch what is served, take a release back.

Exit code 1: a memory is back, or what is served is not what was released.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from excise.cli.desk_commands import Actor, Folder, KeyFile, _actor
from excise.cli.desk_commands import Db as Database

__all__ = ["Database", "Folder", "KeyFile", "check", "rollback", "work"]

NOT_AS_RELEASED = 1


def work(
    db: Database = None,
    folder: Folder = None,
    key_file: KeyFile = None,
    once: Annotated[
        bool, typer.Option("--once", help="End when nothing is queued any more.")
    ] = False,
    model: Annotated[str | None, typer.Option(help="Requests for this model only.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Requests in a batch.")] = 8,
    name: Annotated[str | None, typer.Option(help="This worker's name in leases and log.")] = None,
    lease: Annotated[
        float, typer.Option(min=1, help="Seconds after which a silent worker's batch is free.")
    ] = 120.0,
) -> None:
    """Carry out queued requests: forget, audit, release. Killed, it goes on where it was."""
    from excise.desk.ledger import Ledger
    from excise.desk.work import Worker

    with Ledger.open(db, folder=folder, key_file=key_file) as ledger:
        worker = Worker(
            ledger,
            name=name,
            limit=limit,
            lease_seconds=lease,
            tell=lambda line: print(line, file=sys.stderr, flush=True),
        )
        finished = worker.run(once=once, model=model)
        counts = {state: count for state, count in ledger.counts(model).items() if count}
    print(f"batches: {finished}")
    print("requests: " + (", ".join(f"{n} {state}" for state, n in counts.items()) or "none"))


def check(
    url: Annotated[str, typer.Option(help="An OpenAI-compatible server, up to and with /v1.")],
    model: Annotated[str, typer.Option(help="The registered model that it should serve.")],
    served: Annotated[
        str | None, typer.Option(help="Its name there; the server's first one if not given.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(envvar="EXCISE_SERVER_TOKEN", help="Sent as a bearer token.")
    ] = None,
    db: Database = None,
    folder: Folder = None,
    key_file: KeyFile = None,
    actor: Actor = None,
) -> None:
    """Ask a running server what released requests had it forget."""
    from excise.desk.ledger import Ledger
    from excise.desk.release.check import check as look

    with Ledger.open(db, folder=folder, key_file=key_file) as ledger:
        found = look(ledger, model, url, served=served, actor=_actor(actor), key=token)
    told = sum(count for count, _ in found.back.values())
    print(f"release: {found.release}, {len(found.back)} requests")
    print(f"private questions: {told} of {found.asked} answered truly")
    if found.agreed[1]:
        print(f"all answers: {found.agreed[0]} of {found.agreed[1]} as the release's own")
    for problem in found.problems:
        print(f"problem: {problem}")
    if found.problems:
        raise typer.Exit(NOT_AS_RELEASED)


def rollback(
    model: Annotated[str, typer.Option(help="The registered model.")],
    reason: Annotated[str, typer.Option(help="Why, for the log; nothing personal.")],
    db: Database = None,
    folder: Folder = None,
    key_file: KeyFile = None,
    actor: Actor = None,
) -> None:
    """Rebuild a model's release at gentler settings, without bringing anything back."""
    from excise.desk.ledger import Ledger
    from excise.desk.release.rollback import roll_back

    with Ledger.open(db, folder=folder, key_file=key_file) as ledger:
        done = roll_back(
            ledger,
            model,
            reason=reason,
            actor=_actor(actor),
            tell=lambda line: print(line, file=sys.stderr),
        )
    print(f"release: {done.release.id}")
    print(f"gentler: {', '.join(done.gentler)}")
    print(f"open again: {', '.join(done.reopened) or 'none'}")
