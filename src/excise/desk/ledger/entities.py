"""What comes out of the ledger and what goes in: frozen values that know no database.

None of them holds personal data but `Submission`, which is never stored as it is: the person is
hashed under the desk's key, and the records go encrypted into the vault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

from excise.desk.ledger.states import State
from excise.records.data import Data

Decision = Literal["accept", "refuse"]
PartOfVault = Literal["data", "probes"]
Keeping = Literal["sealed", "shredding", "shredded"]


@dataclass(frozen=True)
class Submission:
    """A request as it came in. Clear text: keep it out of logs and errors."""

    models: tuple[str, ...]
    data: Data | None = field(default=None, repr=False)
    """Its `forget` records of the one person are taken; None if records are still to be made."""
    subject: str | None = field(default=None, repr=False)
    """Who it is, as in `Record.subject`; needed where `data` has several people or none."""
    name: str | None = field(default=None, repr=False)
    pictures: tuple[Path, ...] = field(default=(), repr=False)
    """Pictures that came without records."""
    legal_basis: str = "GDPR art. 17(1)"
    received: date | None = None
    """Today if not given."""
    deadline: date | None = None
    """One calendar month after `received` if not given."""
    identified: bool = False
    """Whether it was checked that the person is who they say they are."""
    entered: Literal["base", "adapter"] | None = None
    """How the data came into the model, if it is known."""
    late: bool = False
    """Register it although its deadline is past."""


@dataclass(frozen=True)
class Part:
    """A request on one of its models."""

    model: str
    state: State
    batch: str | None
    run: str | None
    """The run folder that holds the adapter, relative to the desk's folder."""
    figures: Mapping[str, Any]
    """What the last audit measured, flat."""
    evidence: Mapping[str, Any] | None
    """`{"file": relative path, "sha256": ...}` once it is signed."""
    attempts: int
    """How often it went into forgetting since it was last queued."""


@dataclass(frozen=True)
class Request:
    id: str
    pseudonym: str
    """`person-3fa1c2`."""
    subject_hash: str
    state: State
    """The least far of its parts."""
    parts: tuple[Part, ...]
    legal_basis: str
    received: date
    deadline: date
    extended: int
    """Months, 0 to 2."""
    extension_reason: str
    decision: Decision | None
    decision_reason: str
    came_with: Mapping[str, int]
    """`{"records": 12, "pictures": 4, "name": 1}`."""
    entered: Literal["base", "adapter"] | None
    data_hash: str | None
    """Keyed hash of `Data.fingerprint()`; None while no records are there."""
    sealed: Mapping[str, Keeping]
    """By part of the vault."""
    submitted: datetime
    changed: datetime

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(part.model for part in self.parts)

    def part(self, model: str | None = None) -> Part:
        """Of that model; without a name, of the only one."""
        found = [part for part in self.parts if model in (None, part.model)]
        if len(found) != 1:
            raise KeyError(model)
        return found[0]

    def days_left(self, today: date) -> int:
        """Negative if it is overdue."""
        return (self.deadline - today).days


@dataclass(frozen=True)
class Model:
    name: str
    source: str
    """A checkpoint folder or a hub id."""
    weights_hash: str
    settings: Mapping[str, Any]
    """What the work needs to know of it: data of others, method, gate, ladder, budget."""
    registered: datetime
    changed: datetime


@dataclass(frozen=True)
class Step:
    """Something that was done, so that it need not be done again."""

    batch: str
    request: str | None
    """None: of the batch as a whole."""
    name: str
    status: Literal["started", "done", "failed"]
    result: Mapping[str, Any]
    time: datetime


@dataclass(frozen=True)
class Batch:
    id: str
    model: Model
    requests: tuple[Request, ...]
    """Nearest deadline first; withdrawn ones are still among them."""
    state: Literal["open", "done", "dropped"]
    """Dropped: the base changed under it."""
    worker: str
    lease_until: datetime
    steps: tuple[Step, ...]
    """In the order in which they were noted; of each name the last status."""
    resumed: bool
    """Whether another worker had begun it."""

    def done(self, name: str, request: str | None = None) -> Step | None:
        """The step of that name if it is done."""
        for step in self.steps:
            if (step.name, step.request, step.status) == (name, request, "done"):
                return step
        return None


@dataclass(frozen=True)
class Release:
    id: str
    model: str
    number: int
    """1, 2, ... of that model."""
    kind: Literal["merged", "lora"]
    folder: str
    """Relative to the desk's folder."""
    base_hash: str
    weights_hash: str
    manifest_hash: str
    requests: tuple[str, ...]
    """All that it covers, the earlier ones too."""
    figures: Mapping[str, Any]
    state: Literal["current", "superseded", "rolled back"]
    created: datetime


@dataclass(frozen=True)
class Health:
    """The model after one batch, everything so far together."""

    model: str
    number: int
    batch: str | None
    release: str | None
    figures: Mapping[str, Any]
    time: datetime


@dataclass(frozen=True)
class Key:
    """An API key: only its hash is kept."""

    id: str
    name: str
    role: Literal["submitter", "operator", "officer", "auditor"]
    hash: str
    created: datetime
    revoked: bool


@dataclass(frozen=True)
class Entry:
    """One link of the chain."""

    number: int
    time: datetime
    actor: str
    kind: str
    """`request.submitted`, `request.moved`, `release.made`, ..."""
    request: str | None
    content: Mapping[str, Any]
    previous: str
    hash: str


@dataclass(frozen=True)
class Broken:
    """The first thing that does not hold."""

    where: str
    """`entry 17`, `request r-3f9a1c`, `head`, `vault r-3f9a1c`, ..."""
    reason: str
    entry: int | None = None
    """The number of the entry that is broken, or whose word a row does not follow."""

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"
