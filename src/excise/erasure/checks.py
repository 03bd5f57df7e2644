"""What was compared of an evidence, and what came of it, a line each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Check:
    """One thing that was compared: `holds` is None where there was nothing to compare with."""

    what: str
    holds: bool | None
    said: str

    def __str__(self) -> str:
        word = {True: "holds", False: "DOES NOT HOLD", None: "not checked"}[self.holds]
        return f"{self.what}: {word}, {self.said}" if self.said else f"{self.what}: {word}"


@dataclass
class Verification:
    """What was compared; `body` is what was signed, empty if the signature does not fit."""

    checks: list[Check] = field(default_factory=list)
    body: Mapping[str, Any] = field(default_factory=dict)
    key_id: str | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing that was compared has changed."""
        return all(check.holds is not False for check in self.checks)

    @property
    def problems(self) -> list[str]:
        """What does not hold, a line each."""
        return [f"{c.what}: {c.said}" for c in self.checks if c.holds is False]

    def add(self, what: str, holds: bool | None, said: str = "") -> None:
        self.checks.append(Check(what, holds, said))
