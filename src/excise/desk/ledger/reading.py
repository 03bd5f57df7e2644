"""Looking things up: each a query or three, none that grows with the whole ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Table, func, select, tuple_

from excise.desk.errors import Unknown
from excise.desk.ledger import tables
from excise.desk.ledger.entities import Entry, Model, Request
from excise.desk.ledger.rows import Row, entry_of, model_of, request_of
from excise.desk.ledger.states import STATES, State
from excise.records.errors import InputError, did_you_mean

MOST = 1000
"""Requests of one page."""


def one(connection: Connection, id: str) -> Request:
    """Raises Unknown."""
    row = connection.execute(select(tables.requests).where(tables.requests.c.id == id)).mappings()
    return _filled(connection, [found(row.first(), "request", id)])[0]


def many(
    connection: Connection,
    states: Collection[State] | None = None,
    model: str | None = None,
    limit: int = 50,
    after: str | None = None,
) -> list[Request]:
    """Nearest deadline first. With a model, `states` are those of the request on that model.

    Raises:
        InputError: no such state or limit. Unknown: no such model or `after`.
    """
    if not 1 <= limit <= MOST:
        raise InputError(f"limit: {limit}, expected 1 to {MOST}")
    table = tables.requests
    query = select(table).order_by(table.c.deadline, table.c.id).limit(limit)
    state = table.c.state
    if model is not None:
        require_model(connection, model)
        query = query.join(tables.parts).where(tables.parts.c.model == model)
        state = tables.parts.c.state
    if states is not None:
        for name in states:
            if name not in STATES:
                raise InputError(
                    f'state: unknown "{name}", expected {", ".join(STATES)}'
                    + did_you_mean(name, STATES)
                )
        query = query.where(state.in_(list(states)))
    if after is not None:
        last = one(connection, after)
        here = tuple_(table.c.deadline, table.c.id)
        query = query.where(here > (last.deadline.isoformat(), last.id))
    return _filled(connection, list(connection.execute(query).mappings()))


def of_ids(connection: Connection, ids: Sequence[str]) -> list[Request]:
    """In the order of the ids."""
    query = select(tables.requests).where(tables.requests.c.id.in_(list(ids)))
    by_id = {r.id: r for r in _filled(connection, list(connection.execute(query).mappings()))}
    return [by_id[id] for id in ids]


def counts(connection: Connection, model: str | None = None) -> dict[State, int]:
    """Requests of each state, all states."""
    query = select(tables.requests.c.state, func.count()).group_by(tables.requests.c.state)
    if model is not None:
        require_model(connection, model)
        table = tables.parts
        query = (
            select(table.c.state, func.count())
            .where(table.c.model == model)
            .group_by(table.c.state)
        )
    number = {state: int(n) for state, n in connection.execute(query)}
    return {state: number.get(state, 0) for state in STATES}


def has_asked(connection: Connection, subject_hash: str, model: str) -> bool:
    """Whether there is a request of that person for the model that is not withdrawn."""
    part, table = tables.parts, tables.requests
    query = (
        select(table.c.id)
        .join(part)
        .where(
            table.c.subject_hash == subject_hash,
            part.c.model == model,
            part.c.state != "withdrawn",
        )
    )
    return connection.execute(query.limit(1)).first() is not None


def require_model(connection: Connection, name: str) -> Model:
    """Raises Unknown."""
    row = connection.execute(select(tables.models).where(tables.models.c.name == name)).mappings()
    first = row.first()
    if first is None:
        names = connection.execute(select(tables.models.c.name)).scalars().all()
        known = f"expected one of {', '.join(sorted(names))}" if names else "none is registered"
        raise Unknown(
            f'model: "{name}" is not registered, {known}{did_you_mean(name, names)} '
            "(excise desk model add)"
        )
    return model_of(first)


def log(
    connection: Connection, request: str | None = None, after: int = 0, limit: int = 1000
) -> list[Entry]:
    """Entries in their order, from the one after number `after`."""
    table = tables.entries
    query = select(table).where(table.c.number > after).order_by(table.c.number).limit(limit)
    if request is not None:
        one(connection, request)
        query = query.where(table.c.request == request)
    return [entry_of(row) for row in connection.execute(query).mappings()]


def found(row: Row | None, what: str, name: str) -> Row:
    """Raises Unknown if there is none."""
    if row is None:
        raise Unknown(f'{what}: no "{name[:80]}" in this ledger')
    return row


def lookup(connection: Connection, table: Table, id: str, what: str) -> Row:
    """The row of that id. Raises Unknown."""
    return found(
        connection.execute(select(table).where(table.c.id == id)).mappings().first(), what, id
    )


def _filled(connection: Connection, rows: Sequence[Row]) -> list[Request]:
    ids = [row["id"] for row in rows]
    parts, kept = (
        _by_request(connection, tables.parts, "model", ids),
        _by_request(connection, tables.sealed, "part", ids),
    )
    return [request_of(row, parts[row["id"]], kept[row["id"]]) for row in rows]


def _by_request(
    connection: Connection, table: Table, order: str, ids: Sequence[str]
) -> dict[Any, list[Row]]:
    grouped: dict[Any, list[Row]] = defaultdict(list)
    query = select(table).where(table.c.request.in_(ids)).order_by(table.c.request, table.c[order])
    for row in connection.execute(query).mappings():
        grouped[row["request"]].append(row)
    return grouped


def all_models(connection: Connection) -> list[Row]:
    """By name."""
    query = select(tables.models).order_by(tables.models.c.name)
    return list(connection.execute(query).mappings())


def all_keys(connection: Connection) -> list[Row]:
    """Oldest first."""
    query = select(tables.api_keys).order_by(tables.api_keys.c.created, tables.api_keys.c.id)
    return list(connection.execute(query).mappings())


def key_row(connection: Connection, digest: str) -> Row | None:
    """By its hash, which is indexed."""
    query = select(tables.api_keys).where(tables.api_keys.c.hash == digest)
    return connection.execute(query).mappings().first()
