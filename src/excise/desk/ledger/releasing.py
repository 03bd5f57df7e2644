"""Releases of a model: which one is current, what it covers, how the model fares over time."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, func, select

from excise.desk.errors import NotAllowed, Stale
from excise.desk.ledger import tables
from excise.desk.ledger.canonical import canonical
from excise.desk.ledger.entities import Health, Release
from excise.desk.ledger.moving import requeue, set_state
from excise.desk.ledger.pen import Pen
from excise.desk.ledger.reading import lookup, require_model
from excise.desk.ledger.rows import health_of, release_of


@cache
def _many(of_model: bool) -> Select[Any]:
    """Built once, as in `reading`; so are the next two."""
    table = tables.releases
    query = select(table).order_by(table.c.created.desc(), table.c.number.desc())
    return query.where(table.c.model == bindparam("model")) if of_model else query


_CURRENT = select(tables.releases).where(
    and_(tables.releases.c.model == bindparam("model"), tables.releases.c.state == "current")
)
_HEALTH = (
    select(tables.health)
    .where(tables.health.c.model == bindparam("model"))
    .order_by(tables.health.c.number)
)


def many(connection: Connection, model: str | None) -> list[Release]:
    """Newest first."""
    if model is not None:
        require_model(connection, model)
    query, given = _many(model is not None), {} if model is None else {"model": model}
    return [release_of(row) for row in connection.execute(query, given).mappings().all()]


def current(connection: Connection, model: str) -> Release | None:
    """The one that ought to be served."""
    row = connection.execute(_CURRENT, {"model": model}).mappings().first()
    return None if row is None else release_of(row)


def _last(connection: Connection, model: str) -> Release | None:
    """The newest, whatever its state."""
    table = tables.releases
    query = select(table).where(table.c.model == model).order_by(table.c.number.desc()).limit(1)
    row = connection.execute(query).mappings().first()
    return None if row is None else release_of(row)


def release(
    pen: Pen,
    model: str,
    *,
    requests: Collection[str],
    after: str | None,
    instead_of: str | None,
    reopen: Collection[str],
    reason: str,
    actor: str,
    figures: Mapping[str, Any] | None,
    made: Mapping[str, str],
) -> Release:
    """Make it the current one; `made` holds kind, folder and hashes.

    Raises:
        Stale: another release came in between. NotAllowed: something it covers has not passed, or
        it would leave out what is released.
    """
    base = require_model(pen.connection, model)
    before, last = current(pen.connection, model), _last(pen.connection, model)
    # With none current (a rollback, a new base) the last one will do: nothing came in between.
    expected = {before.id} if before else {None, last.id if last else None}
    if after not in expected:
        raise Stale(f"{model}: another release came in between, expected one built on that")
    covered = {*last.requests} if last else set()
    states = _states(pen.connection, model)
    for id in requests:
        if states.get(id) not in ("passed", "released") and id not in covered:
            raise NotAllowed(f"{id}: is {states.get(id, 'not of this model')}, expected passed")
    left_out = sorted(
        id for id, s in states.items() if s == "released" and id not in {*requests, *reopen}
    )
    if left_out:
        raise NotAllowed(
            f"{', '.join(left_out)}: released before and not in this release; expected all of them"
        )
    table = tables.releases
    if before is not None:
        state = "rolled back" if before.id == instead_of else "superseded"
        pen.update(table, {"id": before.id}, {"state": state})
    row = {
        "id": f"v-{secrets.token_hex(4)}",
        "model": model,
        "number": last.number + 1 if last else 1,
        **made,
        "base_hash": base.weights_hash,
        "requests": canonical(sorted(requests)),
        "figures": canonical(figures or {}),
        "state": "current",
        "created": pen.time,
    }
    pen.insert(table, row)
    for id in _released(states, reopen):
        requeue(pen, id, model)
    content: dict[str, Any] = {"release": row["id"], "after": after}
    if instead_of is not None:
        content |= {"instead_of": instead_of, "queued_again": sorted(reopen), "reason": reason}
    pen.entry("release.made", actor=actor, content=content)
    for id in sorted(requests):
        if states[id] == "passed" and id not in reopen:
            set_state(pen, id, model, "released")
            said = {"state": "released", "models": [model], "release": row["id"]}
            pen.entry("request.moved", actor=actor, request=id, content=said)
    return release_of(row)


def roll_back(pen: Pen, id: str, reopen: Collection[str], reason: str, actor: str) -> Release:
    """Take it out of service in the ledger; nothing is current until the next release.

    Raises:
        NotAllowed: it is not the current one, or `reopen` names what it does not cover. Unknown.
    """
    row = lookup(pen.connection, tables.releases, id, "release")
    if row["state"] != "current":
        raise NotAllowed(f"{id}: is {row['state']}, expected the current release")
    covered = json.loads(row["requests"])
    for request in reopen:
        if request not in covered:
            raise NotAllowed(f"{request}: is not covered by {id}")
    pen.update(tables.releases, {"id": id}, {"state": "rolled back"})
    states = _states(pen.connection, row["model"])
    for request in _released(states, reopen):
        requeue(pen, request, row["model"])
    content = {"release": id, "queued_again": sorted(reopen), "reason": reason}
    pen.entry("release.rolled_back", actor=actor, content=content)
    return release_of({**row, "state": "rolled back"})


def record_health(
    pen: Pen,
    model: str,
    figures: Mapping[str, Any],
    actor: str,
    batch: str | None,
    release: str | None,
) -> Health:
    """One more point of the curve."""
    require_model(pen.connection, model)
    table = tables.health
    last = pen.connection.execute(
        select(func.max(table.c.number)).where(table.c.model == model)
    ).scalar()
    row = {
        "model": model,
        "number": (last or 0) + 1,
        "batch": batch,
        "release": release,
        "figures": canonical(figures),
        "time": pen.time,
    }
    pen.insert(table, row)
    pen.entry("health.recorded", actor=actor)
    return health_of(row)


def health(connection: Connection, model: str) -> list[Health]:
    """Oldest first."""
    require_model(connection, model)
    return [
        health_of(row) for row in connection.execute(_HEALTH, {"model": model}).mappings().all()
    ]


def _states(connection: Connection, model: str) -> dict[str, str]:
    table = tables.parts
    query = select(table.c.request, table.c.state).where(table.c.model == model)
    return {row.request: row.state for row in connection.execute(query)}


def _released(states: Mapping[str, str], reopen: Collection[str]) -> list[str]:
    return sorted(id for id in reopen if states.get(id) in ("released", "passed", "failed"))
