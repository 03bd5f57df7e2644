"""The tables. Text, whole numbers and nothing else, so that both databases give back what went in.

Times are ISO 8601 in UTC with microseconds, which sort as text; mappings are canonical JSON. What
is tracked is written into the chain with every change (`pen.py`) and compared with it by `verify`;
leases are not: they change every few seconds and say nothing about a request.
"""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, MetaData, Table, Text

metadata = MetaData()
_FLEETING = {"tracked": False}


def _text(name: str, *more: ForeignKey, key: bool = False, null: bool = False) -> Column[str]:
    return Column(name, Text, *more, primary_key=key, nullable=null)


desk = Table("desk", metadata, _text("name", key=True), _text("value"))
"""The fingerprint of the key, so that a wrong one is found at once."""

entries = Table(
    "entries",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    _text("time"),
    _text("actor"),
    _text("kind"),
    _text("request", null=True),
    _text("content"),
    _text("previous"),
    _text("hash"),
    _text("seal"),
    Index("entries_of_request", "request", "number"),
)
head = Table(
    "head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
    _text("hash"),
    _text("seal"),
)
models = Table(
    "models",
    metadata,
    _text("name", key=True),
    _text("source"),
    _text("weights_hash"),
    _text("settings"),
    _text("registered"),
    _text("changed"),
    Column("holder", Text, info=_FLEETING),
    Column("held_until", Text, info=_FLEETING),
)
requests = Table(
    "requests",
    metadata,
    _text("id", key=True),
    _text("subject_hash"),
    _text("pseudonym"),
    _text("mentions"),
    _text("state"),
    _text("legal_basis"),
    _text("received"),
    _text("deadline"),
    Column("extended", Integer, nullable=False),
    _text("extension_reason"),
    _text("decision", null=True),
    _text("decision_reason"),
    _text("came_with"),
    _text("entered", null=True),
    _text("data_hash", null=True),
    _text("submitted"),
    _text("changed"),
    Index("requests_by_subject", "subject_hash"),
    Index("requests_by_deadline", "deadline", "id"),
    Index("requests_by_state", "state", "deadline", "id"),
)
parts = Table(
    "parts",
    metadata,
    _text("request", ForeignKey("requests.id"), key=True),
    _text("model", ForeignKey("models.name"), key=True),
    _text("state"),
    _text("batch", null=True),
    _text("run", null=True),
    _text("figures"),
    _text("evidence", null=True),
    Column("attempts", Integer, nullable=False),
    Index("parts_by_state", "model", "state"),
    Index("parts_by_batch", "batch"),
)
sealed = Table(
    "sealed",
    metadata,
    _text("request", ForeignKey("requests.id"), key=True),
    _text("part", key=True),
    _text("place"),
    _text("status"),
    _text("sha256"),
    Column("size", Integer, nullable=False),
)
batches = Table(
    "batches",
    metadata,
    _text("id", key=True),
    _text("model", ForeignKey("models.name")),
    _text("state"),
    _text("requests"),
    _text("made"),
    Column("worker", Text, nullable=False, info=_FLEETING),
    Column("lease_until", Text, nullable=False, info=_FLEETING),
    Index("batches_by_state", "state"),
)
steps = Table(
    "steps",
    metadata,
    _text("batch", ForeignKey("batches.id"), key=True),
    _text("request", key=True),  # "" for the batch as a whole
    _text("name", key=True),
    Column("number", Integer, nullable=False),
    _text("status"),
    _text("result"),
    _text("time"),
)
releases = Table(
    "releases",
    metadata,
    _text("id", key=True),
    _text("model", ForeignKey("models.name")),
    Column("number", Integer, nullable=False),
    _text("kind"),
    _text("folder"),
    _text("base_hash"),
    _text("weights_hash"),
    _text("manifest_hash"),
    _text("requests"),
    _text("figures"),
    _text("state"),
    _text("created"),
    Index("releases_of_model", "model", "number", unique=True),
)
health = Table(
    "health",
    metadata,
    _text("model", ForeignKey("models.name"), key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    _text("batch", null=True),
    _text("release", null=True),
    _text("figures"),
    _text("time"),
)
api_keys = Table(
    "api_keys",
    metadata,
    _text("id", key=True),
    _text("name"),
    _text("role"),
    _text("hash"),
    _text("created"),
    Column("revoked", Integer, nullable=False),
    Index("api_keys_by_hash", "hash", unique=True),
)

TRACKED = (models, requests, parts, sealed, batches, steps, releases, health, api_keys)


def tracked(table: Table) -> list[str]:
    """The names of the columns whose every change is in the chain."""
    return [c.name for c in table.columns if c.info.get("tracked", True)]


def key_of(table: Table) -> list[str]:
    """The names of the primary key's columns."""
    return [c.name for c in table.primary_key.columns]
