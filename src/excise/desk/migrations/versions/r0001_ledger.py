"""The first schema: requests, the chain, and triggers that let nobody rewrite it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Tables, indexes, triggers."""
    op.create_table("desk", _text("name", key=True), _text("value"))
    op.create_table(
        "entries",
        _number("number", key=True),
        *map(_text, ("time", "actor", "kind")),
        _text("request", null=True),
        *map(_text, ("content", "previous", "hash", "seal")),
    )
    op.create_index("entries_of_request", "entries", ["request", "number"])
    op.create_table("head", _number("id", key=True), _number("count"), _text("hash"), _text("seal"))
    op.create_table(
        "models",
        _text("name", key=True),
        *map(_text, ("source", "weights_hash", "settings", "registered", "changed")),
        _text("holder", null=True),
        _text("held_until", null=True),
    )
    op.create_table(
        "requests",
        _text("id", key=True),
        *map(_text, ("subject_hash", "pseudonym", "mentions", "state", "legal_basis")),
        *map(_text, ("received", "deadline")),
        _number("extended"),
        _text("extension_reason"),
        _text("decision", null=True),
        *map(_text, ("decision_reason", "came_with")),
        _text("entered", null=True),
        _text("data_hash", null=True),
        *map(_text, ("submitted", "changed")),
    )
    op.create_index("requests_by_subject", "requests", ["subject_hash"])
    op.create_index("requests_by_deadline", "requests", ["deadline", "id"])
    op.create_index("requests_by_state", "requests", ["state", "deadline", "id"])
    op.create_table(
        "parts",
        _text("request", "requests.id", key=True),
        _text("model", "models.name", key=True),
        _text("state"),
        _text("batch", null=True),
        _text("run", null=True),
        _text("figures"),
        _text("evidence", null=True),
        _number("attempts"),
    )
    op.create_index("parts_by_state", "parts", ["model", "state"])
    op.create_index("parts_by_batch", "parts", ["batch"])
    op.create_table(
        "sealed",
        _text("request", "requests.id", key=True),
        _text("part", key=True),
        *map(_text, ("place", "status", "sha256")),
        _number("size"),
    )
    op.create_table(
        "batches",
        _text("id", key=True),
        _text("model", "models.name"),
        *map(_text, ("state", "requests", "made", "worker", "lease_until")),
    )
    op.create_index("batches_by_state", "batches", ["state"])
    op.create_table(
        "steps",
        _text("batch", "batches.id", key=True),
        _text("request", key=True),
        _text("name", key=True),
        _number("number"),
        *map(_text, ("status", "result", "time")),
    )
    op.create_table(
        "releases",
        _text("id", key=True),
        _text("model", "models.name"),
        _number("number"),
        *map(_text, ("kind", "folder", "base_hash", "weights_hash", "manifest_hash")),
        *map(_text, ("requests", "figures", "state", "created")),
    )
    op.create_index("releases_of_model", "releases", ["model", "number"], unique=True)
    op.create_table(
        "health",
        _text("model", "models.name", key=True),
        _number("number", key=True),
        _text("batch", null=True),
        _text("release", null=True),
        *map(_text, ("figures", "time")),
    )
    op.create_table(
        "api_keys",
        _text("id", key=True),
        *map(_text, ("name", "role", "hash", "created")),
        _number("revoked"),
    )
    op.create_index("api_keys_by_hash", "api_keys", ["hash"], unique=True)
    for statement in TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)


TRIGGERS = {
    "sqlite": [
        """CREATE TRIGGER entries_never_change BEFORE UPDATE ON entries
           BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END""",
        """CREATE TRIGGER entries_never_go BEFORE DELETE ON entries
           BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END""",
        """CREATE TRIGGER head_only_grows BEFORE UPDATE ON head WHEN NEW.count <= OLD.count
           BEGIN SELECT RAISE(ABORT, 'the head only grows'); END""",
        """CREATE TRIGGER head_never_goes BEFORE DELETE ON head
           BEGIN SELECT RAISE(ABORT, 'the head only grows'); END""",
    ],
    "postgresql": [
        """CREATE FUNCTION excise_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN RAISE EXCEPTION 'the log is append-only'; END $$""",
        """CREATE FUNCTION excise_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN
             IF NEW.count <= OLD.count THEN RAISE EXCEPTION 'the head only grows'; END IF;
             RETURN NEW;
           END $$""",
        """CREATE TRIGGER entries_never_change BEFORE UPDATE OR DELETE ON entries
           FOR EACH ROW EXECUTE FUNCTION excise_append_only()""",
        """CREATE TRIGGER entries_never_go BEFORE TRUNCATE ON entries
           FOR EACH STATEMENT EXECUTE FUNCTION excise_append_only()""",
        """CREATE TRIGGER head_only_grows BEFORE UPDATE ON head
           FOR EACH ROW EXECUTE FUNCTION excise_only_grows()""",
        """CREATE TRIGGER head_never_goes BEFORE DELETE ON head
           FOR EACH ROW EXECUTE FUNCTION excise_append_only()""",
        """CREATE TRIGGER head_never_emptied BEFORE TRUNCATE ON head
           FOR EACH STATEMENT EXECUTE FUNCTION excise_append_only()""",
    ],
}


def _text(name: str, to: str | None = None, key: bool = False, null: bool = False) -> Any:
    foreign = [] if to is None else [sa.ForeignKey(to)]
    return sa.Column(name, sa.Text, *foreign, primary_key=key, nullable=null)


def _number(name: str, key: bool = False) -> Any:
    return sa.Column(name, sa.Integer, primary_key=key, autoincrement=False, nullable=False)
