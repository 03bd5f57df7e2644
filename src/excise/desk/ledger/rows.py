"""Rows of the database as the values that leave the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

from sqlalchemy import RowMapping

from excise.desk.ledger.entities import (
    Entry,
    Health,
    Key,
    Model,
    Part,
    Release,
    Request,
    Step,
)

Row = RowMapping | Mapping[str, Any]


def said(text: str) -> Any:
    """A JSON value of a column. Most are empty, which need not be parsed."""
    return {} if text == "{}" else json.loads(text)


def request_of(row: Row, parts: Iterable[Row], sealed: Iterable[Row]) -> Request:
    return Request(
        id=row["id"],
        pseudonym=row["pseudonym"],
        subject_hash=row["subject_hash"],
        state=row["state"],
        parts=tuple(part_of(part) for part in parts),
        legal_basis=row["legal_basis"],
        received=date.fromisoformat(row["received"]),
        deadline=date.fromisoformat(row["deadline"]),
        extended=row["extended"],
        extension_reason=row["extension_reason"],
        decision=row["decision"],
        decision_reason=row["decision_reason"],
        came_with=said(row["came_with"]),
        entered=row["entered"],
        data_hash=row["data_hash"],
        sealed={kept["part"]: kept["status"] for kept in sealed},
        submitted=datetime.fromisoformat(row["submitted"]),
        changed=datetime.fromisoformat(row["changed"]),
    )


def part_of(row: Row) -> Part:
    return Part(
        model=row["model"],
        state=row["state"],
        batch=row["batch"],
        run=row["run"],
        figures=said(row["figures"]),
        evidence=None if row["evidence"] is None else said(row["evidence"]),
        attempts=row["attempts"],
    )


def model_of(row: Row) -> Model:
    return Model(
        name=row["name"],
        source=row["source"],
        weights_hash=row["weights_hash"],
        settings=said(row["settings"]),
        registered=datetime.fromisoformat(row["registered"]),
        changed=datetime.fromisoformat(row["changed"]),
    )


def step_of(row: Row) -> Step:
    return Step(
        batch=row["batch"],
        request=row["request"] or None,
        name=row["name"],
        status=row["status"],
        result=said(row["result"]),
        time=datetime.fromisoformat(row["time"]),
    )


def release_of(row: Row) -> Release:
    kept = {name: row[name] for name in Release.__dataclass_fields__}
    kept["requests"] = tuple(said(row["requests"]))
    kept["figures"] = said(row["figures"])
    kept["created"] = datetime.fromisoformat(row["created"])
    return Release(**kept)


def health_of(row: Row) -> Health:
    kept = {name: row[name] for name in Health.__dataclass_fields__}
    kept["figures"] = said(row["figures"])
    kept["time"] = datetime.fromisoformat(row["time"])
    return Health(**kept)


def key_of(row: Row) -> Key:
    kept = {name: row[name] for name in Key.__dataclass_fields__}
    kept["created"] = datetime.fromisoformat(row["created"])
    kept["revoked"] = bool(row["revoked"])
    return Key(**kept)


def entry_of(row: Row) -> Entry:
    kept = {name: row[name] for name in Entry.__dataclass_fields__}
    kept["time"] = datetime.fromisoformat(row["time"])
    kept["content"] = said(row["content"])
    return Entry(**kept)
