"""What is tried next when the gate does not pass: a documented ladder, and its end.

A memory that came back wants a firmer setting, a model that lost too much a gentler one. The first
rungs only turn the dial of the adapter that is there, which costs no training; later ones train
anew. Past the last rung the desk stops and says that retraining is advised, with the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Way = Literal["firmer", "gentler"]


class Rung(BaseModel):
    """One setting: the strength beside that of the run as it was made, and options to train with.

    Without options the adapter that was trained last is kept and only its strength changes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    strength: float = Field(1.0, gt=0, le=4)
    options: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Setting:
    """What a request is carried out with: options over the model's own, a factor on the dial."""

    strength: float = 1.0
    options: Mapping[str, str] = field(default_factory=dict)


class Ladder(BaseModel):
    """The rungs above the first setting, for either way."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    firmer: tuple[Rung, ...] = (
        Rung(strength=1.25),
        Rung(strength=1.6),
        Rung(options={"push": "1", "epochs": "5"}),
    )
    gentler: tuple[Rung, ...] = (
        Rung(strength=0.85),
        Rung(strength=0.7),
        Rung(options={"hold": "6", "epochs": "5"}),
    )

    def setting(self, ways: Sequence[Way], *, anew: bool = False) -> Setting | None:
        """The setting after so many failures, each of which says which way.

        Where a dial that was turned one way is then asked to be turned the other, no dial will do,
        and the next is the gentler rung that trains anew. None when the ladder ends: at its last
        rung, or where a firmer and a gentler setting were both asked for twice.

        Args:
            anew: a request that a rollback opened again; it begins at the gentler rung that trains
                anew, since no gentler dial kept its memory away.
        """
        walked = [*self._dials_only(), *ways] if anew else [*ways]
        if min(walked.count("firmer"), walked.count("gentler")) > 1:
            return None
        found = Setting()
        steps = {"firmer": 0, "gentler": 0}
        before: Way | None = None
        for way in walked:
            anew_at = self._trains_anew()
            dials = not found.options and steps["gentler"] <= anew_at < len(self.gentler)
            if dials and before not in (None, way):
                way, steps = "gentler", {"firmer": 0, "gentler": anew_at}
            rungs = self.firmer if way == "firmer" else self.gentler
            if steps[way] >= len(rungs):
                return None
            rung = rungs[steps[way]]
            steps[way] += 1
            before = way
            options = found.options if rung.options is None else rung.options
            found = Setting(rung.strength, options)
        return found

    def _dials_only(self) -> list[Way]:
        """The gentler rungs up to the one that trains anew; none if no rung does."""
        trains = self._trains_anew()
        return ["gentler"] * (trains + 1) if trains < len(self.gentler) else []

    def _trains_anew(self) -> int:
        """Which gentler rung trains anew; past the last if none does."""
        return len([*takewhile(lambda rung: rung.options is None, self.gentler)])
