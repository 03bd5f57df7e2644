"""What people decide about a request: accepted, refused, withdrawn, extended."""

from __future__ import annotations

from excise.desk.errors import NotAllowed
from excise.desk.ledger import people, tables
from excise.desk.ledger.book import Book
from excise.desk.ledger.deadlines import MOST, months_after
from excise.desk.ledger.entities import Decision, Request
from excise.desk.ledger.moving import mentions_of, settle
from excise.desk.ledger.pen import Pen
from excise.desk.ledger.reading import one
from excise.desk.ledger.states import ALLOWED
from excise.records.errors import InputError


def decide(
    pen: Pen, id: str, decision: Decision, reason: str, *, actor: str, secret: bytes
) -> None:
    """Accept (and queue) or refuse (and close)."""
    if decision not in ("accept", "refuse"):
        raise InputError(f'decision: unknown "{decision}", expected accept or refuse')
    request = one(pen.connection, id)
    if request.state != "identified" and not (
        decision == "refuse" and request.state in ("received", "queued", "failed")
    ):
        missing = ": identify the person first" if request.state == "received" else ""
        raise NotAllowed(f"{id}: is {request.state}, cannot be decided now{missing}")
    if decision == "accept" and request.data_hash is None:
        raise NotAllowed(f"{id}: has no records yet, expected them before it is accepted (attach)")
    reason = people.checked(reason, mentions_of(pen.connection, id), secret)
    pen.update(tables.requests, {"id": id}, {"decision": decision, "decision_reason": reason})
    if decision == "refuse":
        _close(pen, request)
    else:
        for part in request.parts:
            pen.update(tables.parts, {"request": id, "model": part.model}, {"state": "queued"})
        settle(pen, id)
    pen.entry(
        "request.decided",
        actor=actor,
        request=id,
        content={"decision": decision, "reason": reason},
    )


def withdraw(pen: Pen, id: str, reason: str, *, actor: str, secret: bytes) -> None:
    """Close it without erasure, at the person's wish."""
    request = one(pen.connection, id)
    reason = people.checked(reason, mentions_of(pen.connection, id), secret)
    _close(pen, request)
    pen.entry("request.withdrawn", actor=actor, request=id, content={"reason": reason})


def extend(book: Book, pen: Pen, id: str, months: int, reason: str, actor: str) -> None:
    """A later deadline; the person has to be told of it within the first month."""
    secret = book.key.derived("subjects")
    request = one(pen.connection, id)
    if request.state in ("released", "withdrawn"):
        raise NotAllowed(f"{id}: is {request.state}, has no deadline any more")
    if months < 1 or request.extended + months > MOST:
        used = f", of which {request.extended} are used" if request.extended else ""
        raise InputError(f"months: {months}, expected 1 to {MOST} all together{used}")
    first = months_after(request.received, 1)
    if book.today > first:
        raise NotAllowed(
            f"{id}: the first month ended on {first}; it is extended within it or not at all "
            "(GDPR art. 12(3))"
        )
    reason = people.checked(reason, mentions_of(pen.connection, id), secret)
    extended = request.extended + months
    deadline = max(request.deadline, months_after(request.received, 1 + extended))
    values = {"extended": extended, "extension_reason": reason, "deadline": deadline.isoformat()}
    pen.update(tables.requests, {"id": id}, values | {"changed": pen.time})
    pen.entry(
        "request.extended", actor=actor, request=id, content={"months": months, "reason": reason}
    )


def _close(pen: Pen, request: Request) -> None:
    for part in request.parts:
        if "withdrawn" not in ALLOWED[part.state]:
            raise NotAllowed(f"{request.id}: is {part.state}, cannot be withdrawn any more")
        where = {"request": request.id, "model": part.model}
        pen.update(tables.parts, where, {"state": "withdrawn"})
    for name, status in request.sealed.items():
        if status == "sealed":  # destroyed after the commit, or by the next `tidy`
            where = {"request": request.id, "part": name}
            pen.update(tables.sealed, where, {"status": "shredding"})
    settle(pen, request.id)
