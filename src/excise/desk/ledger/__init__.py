"""Requests, their states, and the log of all that happened to them."""

from excise.desk.errors import (
    Duplicate,
    LeaseLost,
    Locked,
    NotAllowed,
    Sealed,
    Stale,
    Unknown,
)
from excise.desk.ledger.entities import (
    Batch,
    Broken,
    Decision,
    Entry,
    Health,
    Key,
    Model,
    Part,
    Release,
    Request,
    Step,
    Submission,
)
from excise.desk.ledger.ledger import Ledger
from excise.desk.ledger.states import ALLOWED, STATES, State

__all__ = [
    "ALLOWED",
    "STATES",
    "Batch",
    "Broken",
    "Decision",
    "Duplicate",
    "Entry",
    "Health",
    "Key",
    "LeaseLost",
    "Ledger",
    "Locked",
    "Model",
    "NotAllowed",
    "Part",
    "Release",
    "Request",
    "Sealed",
    "Stale",
    "State",
    "Step",
    "Submission",
    "Unknown",
]
