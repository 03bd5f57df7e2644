"""A request's way from state to state, and what is noted on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from excise.desk.errors import LeaseLost, NotAllowed
from excise.desk.ledger import people, tables
from excise.desk.ledger.canonical import canonical
from excise.desk.ledger.entities import Part, Request
from excise.desk.ledger.pen import Pen
from excise.desk.ledger.reading import one
from excise.desk.ledger.states import ALLOWED, STATES, WORKERS, State, least
from excise.records.errors import InputError, did_you_mean


def move(
    pen: Pen,
    id: str,
    state: State,
    *,
    actor: str,
    secret: bytes,
    model: str | None = None,
    reason: str = "",
    noted: Mapping[str, Any] | None = None,
) -> None:
    """One step of the table in `states.py`, on one model or on all that are in the same state.

    Raises:
        NotAllowed, LeaseLost, Unknown, InputError: see `Ledger.move`.
    """
    if state not in STATES:
        raise InputError(
            f'state: unknown "{state}", expected {", ".join(STATES)}{did_you_mean(state, STATES)}'
        )
    request = one(pen.connection, id)
    parts = _meant(request, model)
    for part in parts:
        if state in WORKERS:
            _refuse_stranger(pen.connection, id, part, actor)
        if state not in ALLOWED[part.state]:
            allowed = ", ".join(ALLOWED[part.state]) or "nothing more"
            raise NotAllowed(f'{id}: is {part.state}, cannot become "{state}", expected {allowed}')
    if state == "identified" and len(parts) != len(request.parts):
        raise NotAllowed(f"{id}: a person is identified for all models at once")
    if state == "queued" and (request.decision != "accept" or request.data_hash is None):
        what = "records" if request.data_hash is None else "decision to accept it"
        raise NotAllowed(f"{id}: has no {what} yet, so it cannot be queued")
    if reason:
        reason = people.checked(reason, mentions_of(pen.connection, id), secret)
    for part in parts:
        values: dict[str, Any] = {"state": state, **_columns(noted)}
        if state == "queued":
            values |= {"batch": None, "attempts": 0}
        elif state == "forgetting":
            values["attempts"] = part.attempts + 1
        pen.update(tables.parts, {"request": id, "model": part.model}, values)
    settle(pen, id)
    said = {"state": state, "models": [part.model for part in parts]}
    pen.entry(
        "request.moved",
        actor=actor,
        request=id,
        content=said | ({"reason": reason} if reason else {}),
    )


def refuse_short_cut(state: State) -> None:
    """Raises NotAllowed for states that come with more than a move."""
    if state in ("released", "withdrawn"):
        way = {"released": "release", "withdrawn": "withdraw"}[state]
        raise NotAllowed(f'state: "{state}" comes from {way}, not from a move')


def note(pen: Pen, id: str, actor: str, model: str | None, noted: Mapping[str, Any]) -> None:
    """What an audit found, where the run and the evidence lie."""
    values = _columns(noted)
    if not values:
        raise InputError(f"{id}: nothing to note, expected figures, run or evidence")
    for part in _meant(one(pen.connection, id), model):
        pen.update(tables.parts, {"request": id, "model": part.model}, values)
    settle(pen, id)
    pen.entry("request.noted", actor=actor, request=id)


def requeue(pen: Pen, id: str, model: str) -> None:
    """Begin again on one model, whatever state it is in; the caller writes the entry."""
    values = {"state": "queued", "batch": None, "attempts": 0}
    pen.update(tables.parts, {"request": id, "model": model}, values)
    settle(pen, id)


def set_state(pen: Pen, id: str, model: str, state: State) -> None:
    """As `requeue`, for a state that the caller knows to be allowed."""
    pen.update(tables.parts, {"request": id, "model": model}, {"state": state})
    settle(pen, id)


def settle(pen: Pen, id: str) -> None:
    """The request's own state follows its parts'."""
    table = tables.parts
    states = pen.connection.execute(select(table.c.state).where(table.c.request == id)).scalars()
    pen.update(
        tables.requests,
        {"id": id},
        {"state": least(states.all()), "changed": pen.time},
    )


def mentions_of(connection: Connection, id: str) -> list[str]:
    """The hashes by which a reason is seen to name the person."""
    table = tables.requests
    found = connection.execute(select(table.c.mentions).where(table.c.id == id)).scalar_one()
    return list(json.loads(found))


def _meant(request: Request, model: str | None) -> tuple[Part, ...]:
    if model is not None:
        found = tuple(part for part in request.parts if part.model == model)
        if not found:
            raise NotAllowed(f'{request.id}: does not concern model "{model}"')
        return found
    if len({part.state for part in request.parts}) > 1:
        raise NotAllowed(f"{request.id}: its models are in different states, expected one of them")
    return request.parts


def _refuse_stranger(connection: Connection, id: str, part: Part, actor: str) -> None:
    """Only the worker that holds the batch moves what is at work."""
    if part.state == "withdrawn":
        return  # the table of moves says it more plainly
    if part.batch is None:
        raise LeaseLost(f"{id}: is in no batch of {actor}")
    table = tables.batches
    row = connection.execute(
        select(table.c.worker, table.c.state).where(table.c.id == part.batch)
    ).one()
    if row.state == "open" and row.worker != actor:
        raise LeaseLost(f"{part.batch}: is another worker's by now")


def _columns(noted: Mapping[str, Any] | None) -> dict[str, Any]:
    """`figures`, `run`, `evidence` where they are given, as columns."""
    given = {name: value for name, value in (noted or {}).items() if value is not None}
    return {name: value if name == "run" else canonical(value) for name, value in given.items()}
