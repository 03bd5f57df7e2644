"""Looking things up: each a query or three, none that grows with the whole ledger.

Statements are built once and given their values when they are asked: SQLAlchemy takes 70 µs to
build and recognise one anew, and SQLite 5 to answer it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Integer, Select, Table, bindparam, func, select, tuple_

from excise.desk.errors import Unknown
from excise.desk.ledger import tables
from excise.desk.ledger.entities import Entry, Model, Request
from excise.desk.ledger.rows import Row, entry_of, model_of, request_of
from excise.desk.ledger.states import STATES, State
from excise.records.errors import InputError, did_you_mean

MOST = 1000
"""Requests of one page."""


@cache
def with_id(table: Table) -> Select[Any]:
    """The row of `:id`."""
    return select(table).where(table.c.id == bindparam("id"))


@cache
def _page(of_model: bool, in_states: bool, later: bool) -> Select[Any]:
    """A page of `:most` requests: of `:model`, in `:states`, behind `:deadline` and `:last`."""
    table = tables.requests
    query = select(table).order_by(table.c.deadline, table.c.id).limit(_number("most"))
    state = table.c.state
    if of_model:
        query = query.join(tables.parts).where(tables.parts.c.model == bindparam("model"))
        state = tables.parts.c.state
    if in_states:
        query = query.where(state.in_(bindparam("states", expanding=True)))
    if later:
        here = tuple_(table.c.deadline, table.c.id)
        query = query.where(here > tuple_(bindparam("deadline"), bindparam("last")))
    return query


@cache
def _counts(of_model: bool) -> Select[Any]:
    table = tables.parts if of_model else tables.requests
    query = select(table.c.state, func.count()).group_by(table.c.state)
    return query.where(table.c.model == bindparam("model")) if of_model else query


@cache
def _log(of_request: bool) -> Select[Any]:
    table = tables.entries
    query = select(table).where(table.c.number > _number("after")).order_by(table.c.number)
    if of_request:
        query = query.where(table.c.request == bindparam("request"))
    return query.limit(_number("most"))


def _number(name: str) -> Any:
    return bindparam(name, type_=Integer)


_OF_IDS = select(tables.requests).where(tables.requests.c.id.in_(bindparam("ids", expanding=True)))
_MODEL = select(tables.models).where(tables.models.c.name == bindparam("name"))
_MODELS = select(tables.models).order_by(tables.models.c.name)
_KEYS = select(tables.api_keys).order_by(tables.api_keys.c.created, tables.api_keys.c.id)
_KEY = select(tables.api_keys).where(tables.api_keys.c.hash == bindparam("hash"))


def one(connection: Connection, id: str) -> Request:
    """Raises Unknown."""
    return _filled(connection, [lookup(connection, tables.requests, id, "request")])[0]


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
    return _filled(connection, page_rows(connection, states, model, limit, after))


def page_rows(
    connection: Connection,
    states: Collection[State] | None,
    model: str | None,
    limit: int,
    after: str | None,
) -> Sequence[Row]:
    """What `many` finds, as rows of the requests' own table."""
    if not 1 <= limit <= MOST:
        raise InputError(f"limit: {limit}, expected 1 to {MOST}")
    given: dict[str, Any] = {"most": limit}
    if model is not None:
        require_model(connection, model)
        given["model"] = model
    if states is not None:
        for name in states:
            if name not in STATES:
                raise InputError(
                    f'state: unknown "{name}", expected {", ".join(STATES)}'
                    + did_you_mean(name, STATES)
                )
        given["states"] = list(states)
    if after is not None:
        last = lookup(connection, tables.requests, after, "request")
        given |= {"deadline": last["deadline"], "last": last["id"]}
    query = _page(model is not None, states is not None, after is not None)
    return connection.execute(query, given).mappings().all()


def of_ids(connection: Connection, ids: Sequence[str]) -> list[Request]:
    """In the order of the ids."""
    rows = connection.execute(_OF_IDS, {"ids": list(ids)}).mappings().all()
    by_id = {r.id: r for r in _filled(connection, rows)}
    return [by_id[id] for id in ids]


def counts(connection: Connection, model: str | None = None) -> dict[State, int]:
    """Requests of each state, all states."""
    if model is not None:
        require_model(connection, model)
    query, given = _counts(model is not None), {} if model is None else {"model": model}
    number = {state: int(n) for state, n in connection.execute(query, given)}
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
    first = connection.execute(_MODEL, {"name": name}).mappings().first()
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
    given: dict[str, Any] = {"after": after, "most": limit}
    if request is not None:
        lookup(connection, tables.requests, request, "request")
        given["request"] = request
    query = _log(request is not None)
    return [entry_of(row) for row in connection.execute(query, given).mappings().all()]


def found(row: Row | None, what: str, name: str) -> Row:
    """Raises Unknown if there is none."""
    if row is None:
        raise Unknown(f'{what}: no "{name[:80]}" in this ledger')
    return row


def lookup(connection: Connection, table: Table, id: str, what: str) -> Row:
    """The row of that id. Raises Unknown."""
    return found(connection.execute(with_id(table), {"id": id}).mappings().first(), what, id)


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
    if not ids:
        return grouped
    alone = len(ids) == 1
    given: dict[str, Any] = {"id": ids[0]} if alone else {"ids": ids}
    query = _of_requests(table, order, alone)
    for row in connection.execute(query, given).mappings().all():
        grouped[row["request"]].append(row)
    return grouped


@cache
def _of_requests(table: Table, order: str, alone: bool) -> Select[Any]:
    """The rows of the request `:id`, or of the requests `:ids`."""
    request = table.c.request
    here = request == bindparam("id") if alone else request.in_(bindparam("ids", expanding=True))
    return select(table).where(here).order_by(request, table.c[order])


def all_models(connection: Connection) -> Sequence[Row]:
    """By name."""
    return connection.execute(_MODELS).mappings().all()


def all_keys(connection: Connection) -> Sequence[Row]:
    """Oldest first."""
    return connection.execute(_KEYS).mappings().all()


def key_row(connection: Connection, digest: str) -> Row | None:
    """By its hash, which is indexed."""
    return connection.execute(_KEY, {"hash": digest}).mappings().first()
