"""`excise desk`: requests from the post to signed evidence. Here: the ledger, what it holds.

What is typed as a name (`--subject`, `--name`) is hashed and sealed, never printed. Exit code 1:
`verify` found something that does not hold.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from excise.desk.ledger import Request

BROKEN = 1

desk = typer.Typer(
    name="desk",
    help="Erasure requests, from the post to signed evidence.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
model = typer.Typer(help="The models that requests may concern.", no_args_is_help=True)
desk.add_typer(model, name="model")

Db = Annotated[
    str | None,
    typer.Option("--db", help="sqlite:///desk.db if not given, or postgresql://user@host/name."),
]
Folder = Annotated[
    Path | None, typer.Option(help="The desk's files; beside the ledger if not given.")
]
KeyFile = Annotated[
    Path | None, typer.Option(help="The desk's key; beside the ledger if not given.")
]
Actor = Annotated[str | None, typer.Option("--as", help="Who does it; your login if not given.")]
Id = Annotated[str, typer.Argument(help="The request, such as r-3f9a1c.")]


@desk.command()
def init(
    db: Db = None,
    folder: Folder = None,
    key_file: KeyFile = None,
    actor: Actor = None,
    upgrade: Annotated[
        bool, typer.Option("--upgrade", help="Bring an older ledger up to date.")
    ] = False,
) -> None:
    """Make a ledger, its folder and its key."""
    from excise.desk.ledger import Ledger
    from excise.desk.ledger.database import shown

    with Ledger.init(
        db, folder=folder, key_file=key_file, upgrade=upgrade, actor=_actor(actor)
    ) as ledger:
        print(f"ledger: {shown(ledger.settings.url)}")
        print(f"files:  {ledger.settings.folder}")
        print(f"key:    {ledger.key_source} (keep a copy, and not with the files)")


@model.command("add")
def add_model(
    name: Annotated[str, typer.Argument(help="What requests call it.")],
    source: Annotated[str, typer.Option(help="A checkpoint folder or a hub id.")],
    settings: Annotated[
        Path | None, typer.Option(help="YAML: how its requests are carried out (docs/desk.md).")
    ] = None,
    db: Db = None,
    folder: Folder = None,
    key_file: KeyFile = None,
    actor: Actor = None,
) -> None:
    """Register a model, or tell that its base or its settings changed."""
    from excise.desk.ledger import Ledger

    wanted = None if settings is None else _settings(name, settings)
    with Ledger.open(db, folder=folder, key_file=key_file) as ledger:
        from excise.vlm.weights_hash import hash_weights, weight_files  # slow: transformers

        digest = hash_weights(weight_files(source))
        again = ledger.register_model(name, source, digest, actor=_actor(actor), settings=wanted)
    print(f"model: {name} {digest[:12]}")
    if again:
        print(f"queued again: {', '.join(again)}")


@model.command("list")
def list_models(db: Db = None, folder: Folder = None, key_file: KeyFile = None) -> None:
    """The registered models."""
    from excise.cli.tables import show
    from excise.desk.ledger import Ledger

    with Ledger.open(db, folder=folder, key_file=key_file) as ledger:
        rows = [[m.name, m.source, m.weights_hash[:12]] for m in ledger.models()]
    show(["model", "source", "weights"], rows, numbers_from=3)


@desk.command()
def submit(
    model: Annotated[list[str], typer.Option(help="A registered model; may be repeated.")],
    data: Annotated[
        Path | None, typer.Option(help="The person's records, split forget, and pictures.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="Who it is, as in the records; if they have several people.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The name that came with it.")] = None,
    picture: Annotated[
        list[Path] | None, typer.Option(help="A picture that came with it; may be repeated.")
    ] = None,
    basis: Annotated[str, typer.Option(help="The legal basis.")] = "GDPR art. 17(1)",
    received: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Today if not given.")
    ] = None,
    deadline: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="A month later if not given.")
    ] = None,
    identified: Annotated[
        bool, typer.Option("--identified", help="The person's identity was checked.")
    ] = False,
    accept: Annotated[
        str | None, typer.Option(help="Queue it at once; why no exception applies.")
    ] = None,
    late: Annotated[
        bool, typer.Option("--late", help="Register it although its deadline is past.")
    ] = False,
    db: Db = None,
    folder: Folder = None,
    key_file: KeyFile = None,
    actor: Actor = None,
) -> None:
    """Register a request and seal what came with it."""
    from excise.desk.ledger import Ledger, Submission
    from excise.records.errors import InputError
    from excise.records.reading import read

    if accept is not None and not (identified and data):
        raise InputError("--accept: expected --identified and --data with it")
    with Ledger.open(db, folder=folder, key_file=key_file) as ledger:
        submission = Submission(
            models=tuple(model),
            data=None if data is None else read(data),
            subject=subject,
            name=name,
            pictures=tuple(picture or ()),
            legal_basis=basis,
            received=received.date() if received else None,
            deadline=deadline.date() if deadline else None,
            identified=identified,
            late=late,
        )
        id = ledger.submit(submission, actor=_actor(actor))
        if accept is not None:
            ledger.decide(id, "accept", accept, actor=_actor(actor))
        request = ledger.request(id)
    print(f"request: {id}, {request.state}, to be answered by {request.deadline}")


@desk.command("list")
def list_requests(
    state: Annotated[list[str] | None, typer.Option(help="Only these; may be repeated.")] = None,
    model: Annotated[str | None, typer.Option(help="Only of this model.")] = None,
    limit: Annotated[int, typer.Option(help="How many.")] = 50,
    after: Annotated[str | None, typer.Option(help="Go on after this request.")] = None,
    db: Db = None,
    folder: Folder = None,
    key_file: KeyFile = None,
) -> None:
    """Requests, nearest deadline first."""
    from datetime import UTC

    from excise.cli.tables import show
    from excise.desk.ledger import Ledger

    today = datetime.now(UTC).date()
    with Ledger.open(db, folder=folder, key_file=key_file) as ledger:
        found = ledger.requests(states=state, model=model, limit=limit, after=after)  # type: ignore[arg-type]
        counts = ledger.counts(model)
    rows = [
        [
            request.id,
            request.pseudonym,
            ", ".join(request.models),
            request.state,
            str(request.deadline),
            _left(request, today),
        ]
        for request in found
    ]
    show(["request", "person", "models", "state", "deadline", "days left"], rows, numbers_from=5)
    print(", ".join(f"{n} {state}" for state, n in counts.items() if n) or "no requests yet")


@desk.command("show")
def show_request(id: Id, db: Db = None, folder: Folder = None, key_file: KeyFile = None) -> None:
    """One request: its state on each model, its figures, and what happened to it."""
    from excise.cli.tables import show
    from excise.desk.ledger import Ledger

    with Ledger.open(db, folder=folder, key_file=key_file) as ledger:
        request = ledger.request(id)
        entries = ledger.entries(id)
    came = ", ".join(f"{n} {what}" for what, n in request.came_with.items())
    kept = ", ".join(f"{part} {status}" for part, status in request.sealed.items())
    lines = {
        "person": request.pseudonym,
        "state": request.state,
        "legal basis": request.legal_basis,
        "received": request.received,
        "deadline": f"{request.deadline}" + _extension(request),
        "decision": f"{request.decision or 'none yet'}  {request.decision_reason}".strip(),
        "came with": came,
        "vault": kept,
    }
    for part in request.parts:
        lines[f"on {part.model}"] = part.state + (f", run {part.run}" if part.run else "")
        lines |= {f"  {name}": _figure(value) for name, value in part.figures.items()}
        if part.evidence:
            lines["  evidence"] = part.evidence.get("file")
    show(["", request.id], [[key, str(value)] for key, value in lines.items()], numbers_from=2)
    told = [
        [str(e.number), f"{e.time:%Y-%m-%d %H:%M:%S}", e.actor, e.kind, _said(e.content)]
        for e in entries
    ]
    show(["entry", "time (UTC)", "by", "what", ""], told, numbers_from=5)


@desk.command()
def verify(
    head: Annotated[
        str | None, typer.Option(help="COUNT:HASH, noted earlier: nothing up to it may be gone.")
    ] = None,
    no_vault: Annotated[
        bool, typer.Option("--no-vault", help="Leave the ciphertexts unread.")
    ] = False,
    db: Db = None,
    folder: Folder = None,
    key_file: KeyFile = None,
) -> None:
    """Walk the chain, the tables and the vault; name the first thing that does not hold."""
    from excise.desk.ledger import Ledger

    with Ledger.open(db, folder=folder, key_file=key_file) as ledger:
        broken = ledger.verify(head=head, vault=not no_vault)
        if broken is not None:
            print(f"broken: {broken}")
            raise typer.Exit(BROKEN)
        print(f"intact: {ledger.head()}")


def _settings(name: str, path: Path) -> dict[str, Any]:
    import yaml

    from excise.desk.work.settings import model_settings
    from excise.records.errors import InputError

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError:
        raise InputError(f"{path}: cannot be read, expected a YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise InputError(f"{path}: is no YAML") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: expected names and values")
    settings: dict[str, Any] = model_settings(name, found).model_dump(mode="json")
    return settings


def _actor(given: str | None) -> str:
    import getpass
    import os

    return given or os.environ.get("EXCISE_DESK_ACTOR") or getpass.getuser()


def _left(request: Request, today: Any) -> str:
    closed = request.state in ("released", "withdrawn")
    return "-" if closed else str(request.days_left(today))


def _extension(request: Request) -> str:
    if not request.extended:
        return ""
    return f" (extended by {request.extended} months: {request.extension_reason})"


def _figure(value: Any) -> str:
    number = value.get("mean") if isinstance(value, dict) else value
    return f"{number:.3f}" if isinstance(number, float) else str(number)


def _said(content: Any) -> str:
    """What an entry says besides the rows that changed."""
    told = {key: value for key, value in content.items() if key != "rows"}
    return ", ".join(
        f"{key} {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in told.items()
    )
