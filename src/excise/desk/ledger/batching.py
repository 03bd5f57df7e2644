"""Who works on what: batches of queued requests, leases, and the steps that are done.

A worker that is killed leaves a lease that lapses; the next one gets the same batch with its steps.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, func, or_, select, update

from excise.desk.errors import LeaseLost, NotAllowed
from excise.desk.ledger import tables
from excise.desk.ledger.book import Book
from excise.desk.ledger.canonical import canonical
from excise.desk.ledger.entities import Batch, Step
from excise.desk.ledger.pen import Pen, stamp
from excise.desk.ledger.reading import lookup, of_ids, require_model
from excise.desk.ledger.rows import Row, step_of
from excise.records.errors import InputError


def claim(book: Book, worker: str, limit: int, seconds: float, model: str | None) -> Batch | None:
    """A batch whose lease lapsed, or a new one of the model whose turn it is.

    Raises:
        NotAllowed: SQLite, and another worker is at work. InputError, Unknown.
    """
    if not worker.strip() or limit < 1 or seconds <= 0:
        raise InputError("worker: expected a name, a limit of at least 1 and a lease in seconds")
    with book.write() as pen:
        if model is not None:
            require_model(pen.connection, model)
        until = stamp(pen.now + timedelta(seconds=seconds))
        lapsed = _lapsed(pen, worker, model)
        if lapsed is not None:
            lease = {"worker": worker, "lease_until": until}
            pen.update(tables.batches, {"id": lapsed["id"]}, lease)
            pen.entry("batch.taken", actor=worker, content={"batch": lapsed["id"]})
            return _batch(pen.connection, {**lapsed, **lease}, resumed=True)
        if book.sqlite:
            _refuse_second(pen, worker)
        ids, name = _waiting(pen, limit, model)
        if not ids:
            return None
        row = {
            "id": f"b-{secrets.token_hex(4)}",
            "model": name,
            "state": "open",
            "requests": canonical(ids),
            "made": pen.time,
            "worker": worker,
            "lease_until": until,
        }
        pen.insert(tables.batches, row)
        for id in ids:
            pen.update(tables.parts, {"request": id, "model": name}, {"batch": row["id"]})
        pen.entry("batch.made", actor=worker)
        return _batch(pen.connection, row, resumed=False)


def heartbeat(book: Book, batch: Batch, worker: str, seconds: float) -> Batch:
    """Raises LeaseLost."""
    until = stamp(book.clock() + timedelta(seconds=seconds))
    table = tables.batches
    with book.touch() as connection:
        mine = and_(table.c.id == batch.id, table.c.worker == worker, table.c.state == "open")
        if connection.execute(update(table).where(mine).values(lease_until=until)).rowcount != 1:
            raise LeaseLost(f"{batch.id}: is another worker's by now, or over")
        row = lookup(connection, table, batch.id, "batch")
        return _batch(connection, row, resumed=batch.resumed)


def lapse(book: Book, batch: Batch, worker: str) -> None:
    """Give the lease up, and nothing else. Raises LeaseLost."""
    heartbeat(book, batch, worker, -1.0)


def finish(pen: Pen, batch: Batch, worker: str) -> None:
    """Raises NotAllowed: some of it is still at work. LeaseLost."""
    require_lease(pen.connection, batch, worker)
    table = tables.parts
    open_ones = pen.connection.execute(
        select(table.c.request).where(
            and_(table.c.batch == batch.id, table.c.state.in_(("queued", "forgetting", "auditing")))
        )
    ).scalars()
    left = sorted(open_ones.all())
    if left:
        raise NotAllowed(f"{batch.id}: {', '.join(left)} still at work, expected all finished")
    pen.update(tables.batches, {"id": batch.id}, {"state": "done"})
    pen.entry("batch.finished", actor=worker, content={"batch": batch.id})


def step(
    pen: Pen,
    batch: Batch,
    name: str,
    status: str,
    result: Mapping[str, Any] | None,
    request: str | None,
) -> Step:
    """Note it; what is done stays done. Raises LeaseLost."""
    require_lease(pen.connection, batch, batch.worker)
    if status not in ("started", "done", "failed") or not name.strip():
        raise InputError(f"step: status {status}, expected a name, and started, done or failed")
    if request is not None and request not in {r.id for r in batch.requests}:
        raise InputError(f"step: {request} is not in {batch.id}")
    table = tables.steps
    key = {"batch": batch.id, "request": request or "", "name": name}
    of_batch = select(table).where(table.c.batch == batch.id)
    here = of_batch.where(and_(table.c.request == key["request"], table.c.name == name))
    old = pen.connection.execute(here).mappings().first()
    if old is not None and old["status"] == "done":
        return step_of(old)
    count = select(func.count()).select_from(of_batch.subquery())
    number = pen.connection.execute(count).scalar_one() if old is None else old["number"]
    values = {"status": status, "result": canonical(result or {}), "time": pen.time}
    if old is None:
        pen.insert(table, {**key, "number": number, **values})
    else:
        pen.update(table, key, values)
    pen.entry("step.noted", actor=batch.worker, request=request)
    return step_of({**key, "number": number, **values})


def require_lease(connection: Connection, batch: Batch, worker: str) -> None:
    """Raises LeaseLost unless the batch is open and the worker's; a lapsed one may still be."""
    row = lookup(connection, tables.batches, batch.id, "batch")
    if row["state"] != "open" or row["worker"] != worker:
        raise LeaseLost(f"{batch.id}: is another worker's by now, or over")


def one(connection: Connection, id: str) -> Batch:
    """Raises Unknown."""
    return _batch(connection, lookup(connection, tables.batches, id, "batch"), resumed=False)


def many(connection: Connection, open_only: bool) -> list[Batch]:
    """Oldest first."""
    rows = connection.execute(_many(open_only)).mappings().all()
    return [_batch(connection, row, resumed=False) for row in rows]


@cache
def _many(open_only: bool) -> Select[Any]:
    """Built once, as in `reading`."""
    table = tables.batches
    query = select(table).order_by(table.c.made, table.c.id)
    return query.where(table.c.state == "open") if open_only else query


_STEPS = (
    select(tables.steps)
    .where(tables.steps.c.batch == bindparam("batch"))
    .order_by(tables.steps.c.number)
)


def _lapsed(pen: Pen, worker: str, model: str | None) -> Row | None:
    table = tables.batches
    query = (
        select(table)
        .where(
            and_(
                table.c.state == "open",
                or_(table.c.lease_until < pen.time, table.c.worker == worker),
            )
        )
        .order_by(table.c.made, table.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if model is not None:
        query = query.where(table.c.model == model)
    return pen.connection.execute(query).mappings().first()


def _waiting(pen: Pen, limit: int, model: str | None) -> tuple[list[str], str]:
    """Queued requests of one model, nearest deadline first; the nearest one says which model.

    The head of the chain keeps other workers out; rows that somebody else holds, a hand at the
    database say, are skipped rather than waited for.
    """
    table = tables.parts
    query = (
        select(table.c.request, table.c.model)
        .join(tables.requests)
        .where(and_(table.c.state == "queued", table.c.batch.is_(None)))
        .order_by(tables.requests.c.deadline, tables.requests.c.id, table.c.model)
        .with_for_update(skip_locked=True, of=table)
    )
    if model is None:
        first = pen.connection.execute(query.limit(1)).first()
        if first is None:
            return [], ""
        model = str(first.model)
    rows = pen.connection.execute(query.where(table.c.model == model).limit(limit))
    return [row.request for row in rows], model


def _refuse_second(pen: Pen, worker: str) -> None:
    table = tables.batches
    busy = and_(table.c.state == "open", table.c.worker != worker, table.c.lease_until >= pen.time)
    if pen.connection.execute(select(table.c.id).where(busy)).first():
        raise NotAllowed(
            "a worker is at work already: SQLite serves one, expected PostgreSQL for several"
        )


def _batch(connection: Connection, row: Row, *, resumed: bool) -> Batch:
    steps = connection.execute(_STEPS, {"batch": row["id"]}).mappings().all()
    return Batch(
        id=row["id"],
        model=require_model(connection, row["model"]),
        requests=tuple(of_ids(connection, json.loads(row["requests"]))),
        state=row["state"],
        worker=row["worker"],
        lease_until=datetime.fromisoformat(row["lease_until"]),
        steps=tuple(step_of(step) for step in steps),
        resumed=resumed,
    )
