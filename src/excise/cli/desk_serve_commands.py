"""`excise desk serve` and `excise desk key`: the console, and who may use it.

Keys are made here and nowhere else, so whoever makes one already holds the ledger.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from excise.cli.desk_work_commands import Database, Folder, KeyFile

PORT = 8017

key = typer.Typer(
    help="API keys: shown once, kept as a hash.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def serve(
    db: Database = None,
    folder: Folder = None,
    key_file: KeyFile = None,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = PORT,
    name: Annotated[
        list[str] | None, typer.Option(help="What browsers call it by; may be repeated.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="A certificate: HTTPS from here.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="The certificate's key.")] = None,
    behind_proxy: Annotated[
        str | None, typer.Option(help="Address of a proxy in front, which speaks HTTPS.")
    ] = None,
) -> None:
    """Serve the console and its API; at this machine alone unless told otherwise."""
    from excise.desk.console.serving import Listening, run

    listening = Listening(host, port, tuple(name or ()), tls_cert, tls_key, behind_proxy)
    run(listening, db, folder=folder, key_file=key_file, say=print)


@key.command("add")
def add(
    name: Annotated[str, typer.Argument(help='Where it is used, such as "privacy office".')],
    role: Annotated[str, typer.Option(help="submitter, operator, officer or auditor.")],
    db: Database = None,
    folder: Folder = None,
    key_file: KeyFile = None,
    actor: Annotated[str, typer.Option(help="Who makes it, for the log.")] = "command line",
) -> None:
    """Make a key and show it, this once."""
    from excise.desk.console.keys import issue
    from excise.desk.ledger import Ledger

    with Ledger.open(db, folder=folder, key_file=key_file) as ledger:
        made, token = issue(ledger, name, role, actor=actor)
    print(f"id:  {made.id} ({made.role})")
    print(f"key: {token}")
    print("It is not shown again, and only its hash is kept.")


@key.command("list")
def list_(db: Database = None, folder: Folder = None, key_file: KeyFile = None) -> None:
    """Who may call; the keys themselves are nowhere."""
    from excise.cli.tables import show
    from excise.desk.ledger import Ledger

    with Ledger.open(db, folder=folder, key_file=key_file) as ledger:
        found = ledger.keys()
    show(
        ["id", "name", "role", "made", "valid"],
        [
            [k.id, k.name, k.role, f"{k.created:%Y-%m-%d}", "revoked" if k.revoked else "yes"]
            for k in found
        ],
    )


@key.command("revoke")
def revoke(
    id: Annotated[str, typer.Argument(help="As `excise desk key list` shows it.")],
    db: Database = None,
    folder: Folder = None,
    key_file: KeyFile = None,
    actor: Annotated[str, typer.Option(help="Who revokes it, for the log.")] = "command line",
) -> None:
    """End a key; its sessions end with it, at once."""
    from excise.desk.ledger import Ledger

    with Ledger.open(db, folder=folder, key_file=key_file) as ledger:
        ended = ledger.revoke_key(id, actor=actor)
    print(f"revoked: {ended.id} ({ended.role})")
