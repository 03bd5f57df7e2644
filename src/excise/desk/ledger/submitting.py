"""A request comes in: checked, sealed, entered; and records that come later."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import Connection, and_, select

from excise.desk.errors import Duplicate, NotAllowed
from excise.desk.ledger import people, tables
from excise.desk.ledger.book import Book
from excise.desk.ledger.canonical import canonical
from excise.desk.ledger.entities import Request, Submission
from excise.desk.ledger.intake import content_of, dates_of, kept_content
from excise.desk.ledger.placing import placed
from excise.desk.ledger.reading import one, require_model
from excise.desk.ledger.states import State
from excise.desk.vault.vault import Place
from excise.records.data import Data
from excise.records.errors import InputError
from excise.records.pseudonym import pseudonym


def submit(book: Book, submission: Submission, actor: str) -> str:
    """Check, seal, enter. Refused, nothing is left; killed, nothing that `tidy` does not remove.

    Raises:
        Duplicate, Unknown, InputError: see `Ledger.submit`.
    """
    content = content_of(submission)
    received, deadline = dates_of(submission, book.today)
    models = tuple(dict.fromkeys(submission.models))
    if not models:
        raise InputError("model: none given, expected at least one")
    secret = book.key.derived("subjects")
    names = [content.subject] + ([content.name] if content.name else [])
    mentions = people.mentions(names, secret)
    basis = people.checked(submission.legal_basis, mentions, secret, what="legal basis")
    subject = people.hashed(content.subject, secret)
    with book.read() as connection:  # before a large upload is encrypted for nothing
        _refuse_duplicate(connection, subject, models)
    id, digest = _new_id(book), _data_hash(book, content.data)
    with book.vault.filling():
        place = book.vault.put(id, "data", content.pack)
        with placed(book, id, place.name), book.write() as pen:
            _refuse_duplicate(pen.connection, subject, models)
            state: State = "identified" if submission.identified else "received"
            pen.insert(
                tables.requests,
                {
                    "id": id,
                    "subject_hash": subject,
                    "pseudonym": pseudonym(people.normalised(content.subject), secret.hex()),
                    "mentions": canonical(mentions),
                    "state": state,
                    "legal_basis": basis,
                    "received": received.isoformat(),
                    "deadline": deadline.isoformat(),
                    "extended": 0,
                    "extension_reason": "",
                    "decision": None,
                    "decision_reason": "",
                    "came_with": canonical(content.came_with),
                    "entered": submission.entered,
                    "data_hash": digest,
                    "submitted": pen.time,
                    "changed": pen.time,
                },
            )
            for model in models:
                pen.insert(tables.parts, _new_part(id, model, state))
            pen.insert(tables.sealed, _new_sealed(id, "data", place))
            pen.entry("request.submitted", actor=actor, request=id)
    return id


def attach(book: Book, id: str, data: Data, actor: str) -> None:
    """Records for a request that came without; what came with it stays.

    Raises:
        NotAllowed: it has records, or it is too late for them. InputError: the data are wrong.
    """
    with book.read() as connection:
        request = one(connection, id)
        old = _place(connection, id, "data")
    _refuse_late_records(request)
    with book.vault.filling():
        with book.vault.open(id, old) as folder:
            before = kept_content(folder, None)
            content = kept_content(
                folder, content_of(Submission((), data, before.subject, before.name)).data
            )
            digest = _data_hash(book, content.data)
            place = book.vault.put(id, "data", content.pack)
        with placed(book, id, place.name), book.write() as pen:
            _refuse_late_records(one(pen.connection, id))
            pen.update(
                tables.requests,
                {"id": id},
                {
                    "came_with": canonical(content.came_with),
                    "data_hash": digest,
                    "changed": pen.time,
                },
            )
            pen.update(
                tables.sealed,
                {"request": id, "part": "data"},
                {"place": place.name, "sha256": place.sha256, "size": place.size},
            )
            pen.entry("request.attached", actor=actor, request=id)
        book.vault.destroy(id, old)


def _refuse_duplicate(connection: Connection, subject: str, models: tuple[str, ...]) -> None:
    for model in models:
        require_model(connection, model)
    joined = tables.requests.join(tables.parts)
    row = connection.execute(
        select(tables.requests.c.id, tables.parts.c.model, tables.parts.c.state)
        .select_from(joined)
        .where(
            and_(
                tables.requests.c.subject_hash == subject,
                tables.parts.c.model.in_(models),
                tables.parts.c.state != "withdrawn",
            )
        )
        .order_by(tables.requests.c.submitted)
    ).first()
    if row is not None:
        raise Duplicate(
            f'subject: this person has request {row.id} for model "{row.model}" already '
            f"({row.state}), expected one request a person and model",
            row.id,
        )


def _refuse_late_records(request: Request) -> None:
    if request.data_hash is not None:
        raise NotAllowed(f"{request.id}: has its records already")
    if request.state not in ("received", "identified"):
        raise NotAllowed(f"{request.id}: is {request.state}, too late for records")


def _place(connection: Connection, id: str, part: str) -> str:
    table = tables.sealed
    query = select(table.c.place).where(and_(table.c.request == id, table.c.part == part))
    return str(connection.execute(query).scalar_one())


def _data_hash(book: Book, data: Data | None) -> str | None:
    if data is None or not data.records:
        return None
    return people.hashed(data.fingerprint(), book.key.derived("data"))


def _new_id(book: Book) -> str:
    table = tables.requests
    with book.read() as connection:
        while True:
            id = f"r-{secrets.token_hex(3)}"
            taken = connection.execute(select(table.c.id).where(table.c.id == id)).first()
            if taken is None and not (book.vault.folder / id).exists():
                return id


def _new_part(id: str, model: str, state: State) -> dict[str, Any]:
    return {
        "request": id,
        "model": model,
        "state": state,
        "batch": None,
        "run": None,
        "figures": "{}",
        "evidence": None,
        "attempts": 0,
    }


def _new_sealed(id: str, part: str, place: Place) -> dict[str, Any]:
    return {
        "request": id,
        "part": part,
        "place": place.name,
        "status": "sealed",
        "sha256": place.sha256,
        "size": place.size,
    }
