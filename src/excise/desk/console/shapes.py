"""The JSON of the API, as the OpenAPI document describes it. None of it is personal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from excise.desk.console.roles import Role
from excise.desk.ledger.states import State

Light = Literal["overdue", "soon", "ample", "closed"]
Words = Annotated[str, StringConstraints(min_length=3, max_length=500, pattern=r"\S")]


class Problem(BaseModel):
    """What is wrong, in one line."""

    detail: str


class PartOut(BaseModel):
    model: str
    state: State
    batch: str | None
    run: str | None
    figures: Mapping[str, Any]
    evidence: Mapping[str, Any] | None
    attempts: int


class RequestOut(BaseModel):
    id: str
    pseudonym: str
    state: State
    parts: list[PartOut]
    legal_basis: str
    received: date
    deadline: date
    days_left: int
    light: Light
    extended: int
    extension_reason: str
    decision: Literal["accept", "refuse"] | None
    decision_reason: str
    came_with: Mapping[str, int]
    entered: Literal["base", "adapter"] | None
    sealed: Mapping[str, str]
    submitted: datetime
    changed: datetime


class RequestsOut(BaseModel):
    requests: list[RequestOut]
    next: str | None
    """`after` of the next page; null on the last."""


class Submitted(BaseModel):
    id: str


class EntryOut(BaseModel):
    number: int
    time: datetime
    actor: str
    kind: str
    request: str | None
    content: Mapping[str, Any]
    previous: str
    hash: str


class EntriesOut(BaseModel):
    head: str
    entries: list[EntryOut]


class ModelOut(BaseModel):
    name: str
    weights_hash: str
    registered: datetime
    changed: datetime
    counts: Mapping[str, int]
    release: str | None


class HealthOut(BaseModel):
    model: str
    number: int
    batch: str | None
    release: str | None
    figures: Mapping[str, Any]
    time: datetime


class ReleaseOut(BaseModel):
    id: str
    model: str
    number: int
    kind: Literal["merged", "lora"]
    base_hash: str
    weights_hash: str
    manifest_hash: str
    requests: list[str]
    figures: Mapping[str, Any]
    state: Literal["current", "superseded", "rolled back"]
    created: datetime


class StepOut(BaseModel):
    request: str | None
    name: str
    status: Literal["started", "done", "failed"]
    time: datetime


class BatchOut(BaseModel):
    id: str
    model: str
    requests: list[str]
    worker: str
    lease_until: datetime
    resumed: bool
    steps: list[StepOut]


class KeyOut(BaseModel):
    id: str
    name: str
    role: Role
    created: datetime
    revoked: bool


class Verdict(BaseModel):
    whole: bool
    broken: str | None
    """The first link that does not hold."""
    entry: int | None
    head: str


class Me(BaseModel):
    key: str
    role: Role


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Reason(_In):
    reason: Words


class DecisionIn(_In):
    decision: Literal["accept", "refuse"]
    reason: Words


def _whole(value: object) -> object:
    """2.0 is the integer 2 in JSON; "2" is none."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class ExtensionIn(_In):
    months: Annotated[int, Field(ge=1, le=2), BeforeValidator(_whole)]
    reason: Words
