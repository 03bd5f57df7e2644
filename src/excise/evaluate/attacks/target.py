"""What is attacked, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from excise.records.data import Data
from excise.records.record import Record

if TYPE_CHECKING:
    from excise.vlm.load import VLM


@dataclass(frozen=True)
class Target:
    """A model, and the records whose facts are to be got out of it.

    `records` are secrets and controls together: an attack treats all alike, so that what it
    "recovers" of people whom the model never knew tells how often it hits by chance. `data` is the
    whole folder, for other pictures and other wordings of the same people.
    """

    vlm: VLM
    data: Data
    records: tuple[Record, ...]
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """What one attack found. The registry fills in `attack`, `family` and `options`."""

    asks: int
    """Answers that were generated, or positions that were scored."""
    found: Mapping[str, int]
    """Record id: how many asks recovered its fact, 0 for tried and not found; a record that the
    attack does not apply to is absent."""
    notes: Mapping[str, float] = field(default_factory=dict)
    """Other figures, such as the mean rank of the true answer."""
    attack: str = ""
    family: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
