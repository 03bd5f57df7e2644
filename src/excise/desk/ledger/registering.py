"""The models that requests may concern, and the API keys of the console."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import and_, select, update

from excise.desk.ledger import tables
from excise.desk.ledger.canonical import canonical
from excise.desk.ledger.entities import Key
from excise.desk.ledger.moving import requeue
from excise.desk.ledger.pen import Pen
from excise.desk.ledger.reading import lookup
from excise.desk.ledger.rows import key_of
from excise.records.errors import InputError, did_you_mean

ROLES = ("submitter", "operator", "officer", "auditor")
AGAIN = ("forgetting", "auditing", "passed", "failed", "released")
"""States that were reached on a base; a new base begins them again."""


def register_model(
    pen: Pen,
    name: str,
    source: str,
    weights_hash: str,
    settings: Mapping[str, Any] | None,
    actor: str,
) -> tuple[str, ...]:
    """Enter it, or what is new of it. The ids that were queued again."""
    if not re.fullmatch(r"[\w.+-][\w.+/ -]{0,99}", name):
        raise InputError("model: expected a name of up to 100 letters, digits and . + - / _")
    if not source.strip() or not re.fullmatch(r"[0-9a-f]{8,128}", weights_hash):
        raise InputError(f"model {name}: expected a source and the hash of its weights")
    table = tables.models
    old = pen.connection.execute(select(table).where(table.c.name == name)).mappings().first()
    values = {"source": source, "weights_hash": weights_hash, "changed": pen.time}
    if settings is not None or old is None:
        values["settings"] = canonical(settings or {})
    if old is None:
        pen.insert(table, {"name": name, "registered": pen.time, **values})
        pen.entry("model.registered", actor=actor)
        return ()
    same = {key: values[key] == old[key] for key in values if key != "changed"}
    if all(same.values()):
        return ()
    pen.update(table, {"name": name}, values)
    again = () if same["weights_hash"] else _begin_again(pen, name)
    pen.entry("model.changed", actor=actor, content={"queued_again": list(again)})
    return again


def _begin_again(pen: Pen, model: str) -> tuple[str, ...]:
    parts, batches, releases = tables.parts, tables.batches, tables.releases
    ids = pen.connection.execute(
        select(parts.c.request)
        .where(and_(parts.c.model == model, parts.c.state.in_(AGAIN)))
        .order_by(parts.c.request)
    ).scalars()
    again = tuple(ids.all())
    for id in again:
        requeue(pen, id, model)
    waiting = select(parts.c.request).where(
        and_(parts.c.model == model, parts.c.state == "queued", parts.c.batch.is_not(None))
    )
    for id in pen.connection.execute(waiting).scalars().all():  # claimed, but not yet begun
        requeue(pen, id, model)
    for id in (
        pen.connection.execute(
            select(batches.c.id).where(and_(batches.c.model == model, batches.c.state == "open"))
        )
        .scalars()
        .all()
    ):
        pen.update(batches, {"id": id}, {"state": "dropped"})
    for id in (
        pen.connection.execute(
            select(releases.c.id).where(
                and_(releases.c.model == model, releases.c.state == "current")
            )
        )
        .scalars()
        .all()
    ):
        pen.update(releases, {"id": id}, {"state": "superseded"})
    return again


def hold(book_time: str, until: str, name: str, worker: str) -> Any:
    """The statement that takes or prolongs the right to release on a model."""
    table = tables.models
    free = table.c.holder.is_(None) | (table.c.holder == worker) | (table.c.held_until < book_time)
    return (
        update(table)
        .where(and_(table.c.name == name, free))
        .values(holder=worker, held_until=until)
    )


def add_key(pen: Pen, name: str, role: str, digest: str, actor: str) -> Key:
    """Raises InputError: no such role, no name, or a key that exists."""
    if role not in ROLES:
        raise InputError(
            f'role: unknown "{role}", expected {", ".join(ROLES)}{did_you_mean(role, ROLES)}'
        )
    if not name.strip() or len(name) > 100:
        raise InputError("name: expected up to 100 characters")
    table = tables.api_keys
    if pen.connection.execute(select(table.c.id).where(table.c.hash == digest)).first():
        raise InputError("key: exists already")
    id = f"k-{secrets.token_hex(4)}"
    row = {
        "id": id,
        "name": " ".join(name.split()),
        "role": role,
        "hash": digest,
        "created": pen.time,
        "revoked": 0,
    }
    pen.insert(table, row)
    pen.entry("key.added", actor=actor)
    return key_of(row)


def revoke_key(pen: Pen, id: str, actor: str) -> Key:
    """A second time does nothing. Raises Unknown."""
    row = lookup(pen.connection, tables.api_keys, id, "key")
    if not row["revoked"]:
        pen.update(tables.api_keys, {"id": id}, {"revoked": 1})
        pen.entry("key.revoked", actor=actor)
    return key_of({**row, "revoked": 1})
