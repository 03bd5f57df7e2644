"""From the ledger's entities to what is shown: JSON values, deadline lights.

What the entities hold as mappings came out of JSON columns and is plain already; it is given on as
it is. Copying it, as `dataclasses.asdict` does, took more time than reading it from the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import date, datetime
from typing import Any

from excise.desk.console.shapes import Light
from excise.desk.ledger.entities import Batch, Entry, Health, Key, Model, Part, Release, Request
from excise.desk.ledger.states import OPEN, State

SOON = 7  # days


def light(request: Request, today: date) -> Light:
    """How near the deadline is; closed requests have none."""
    if request.state not in OPEN:
        return "closed"
    days = request.days_left(today)
    return "overdue" if days < 0 else "soon" if days <= SOON else "ample"


def request_view(request: Request, today: date) -> dict[str, Any]:
    return {
        "id": request.id,
        "pseudonym": request.pseudonym,
        "state": request.state,
        "parts": [_part_view(part) for part in request.parts],
        "legal_basis": request.legal_basis,
        "received": request.received.isoformat(),
        "deadline": request.deadline.isoformat(),
        "days_left": request.days_left(today),
        "light": light(request, today),
        "extended": request.extended,
        "extension_reason": request.extension_reason,
        "decision": request.decision,
        "decision_reason": request.decision_reason,
        "came_with": request.came_with,
        "entered": request.entered,
        "sealed": request.sealed,
        "submitted": request.submitted.isoformat(),
        "changed": request.changed.isoformat(),
    }


def _part_view(part: Part) -> dict[str, Any]:
    return {
        "model": part.model,
        "state": part.state,
        "batch": part.batch,
        "run": part.run,
        "figures": part.figures,
        "evidence": part.evidence,
        "attempts": part.attempts,
    }


def entry_view(entry: Entry) -> dict[str, Any]:
    return _fields(entry)


def health_view(health: Health) -> dict[str, Any]:
    return _fields(health)


def release_view(release: Release) -> dict[str, Any]:
    found = _fields(release)
    del found["folder"]  # where files lie is the machine's business
    return found


def key_view(key: Key) -> dict[str, Any]:
    found = _fields(key)
    del found["hash"]
    return found


def model_view(
    model: Model, counts: Mapping[State, int], current: Release | None
) -> dict[str, Any]:
    return _object(
        {
            "name": model.name,
            "weights_hash": model.weights_hash,
            "registered": model.registered,
            "changed": model.changed,
            "counts": counts,
            "release": current.id if current else None,
        }
    )


def batch_view(batch: Batch) -> dict[str, Any]:
    return _object(
        {
            "id": batch.id,
            "model": batch.model.name,
            "requests": [request.id for request in batch.requests],
            "worker": batch.worker,
            "lease_until": batch.lease_until,
            "resumed": batch.resumed,
            "steps": [
                {"request": s.request, "name": s.name, "status": s.status, "time": s.time}
                for s in batch.steps
            ],
        }
    )


def _fields(entity: Entry | Health | Release | Key) -> dict[str, Any]:
    return _object({field.name: getattr(entity, field.name) for field in fields(entity)})


def _object(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: plain(value) for key, value in values.items()}


def plain(value: Any) -> Any:
    """Times as ISO text, within lists too; anything else as it is."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_object(v) if isinstance(v, dict) else plain(v) for v in value]
    return value
