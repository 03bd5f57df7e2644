"""A batch's audit, and whose setting has to change when its gate does not pass.

The base with all earlier requests and the batch's own is audited once for all people of the batch:
what is audited is what will be served. Earlier requests are asked about again by their probes. A
leak is laid at the door of those whose facts came back; harm at everybody's in the batch, since a
sum has no single author.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from excise.desk.work.ladder import Way
from excise.records.errors import InputError

REMEMBERED = (
    *("leak.", "membership.", "memory.forget", "probability.forget"),
    *("exact_memorisation.forget", "extraction_strength.forget"),
    "extraction_strength_openunlearning.forget",
)
"""Figures that rise with what is remembered; the names of others speak of the rest of the model."""
FORGOTTEN = ("forget_quality", "privleak", "refusal.forget", "truth_ratio.forget")
"""Figures that rise with what is forgotten."""
OUTLIER = 0.1
"""Share of a person's facts above the batch's false alarms at which a leak is theirs."""
EARLIER = 0.1
"""Share of an earlier request's probes that may be answered truly by chance."""
SHOWN = (
    *("leak.any", "leak.any.raw", "leak.control", "leak.worst_person", "leak.plain"),
    *("before.leak.plain", "memory.forget", "kept.memory", "kept.understanding.forget"),
    *("kept.understanding.retain", "kept.understanding.unseen", "kept.captions"),
    *("kept.grounding", "kept.general", "refusal.unseen", "meaningful"),
)
"""Figures that a request's page and the model's health show."""


@dataclass(frozen=True)
class Verdict:
    """What one audit of a batch says: nobody to `blame` is a pass."""

    audit: Mapping[str, Any]
    blame: Mapping[str, Way]
    """By request: which way its setting has to go."""
    back: Mapping[str, tuple[int, int]]
    """Earlier requests: probes answered truly, of how many."""

    @property
    def passed(self) -> bool:
        return not self.blame


def way_of(blame: Mapping[str, Way]) -> Way:
    """Which way the setting of the whole batch goes; a leak comes before harm."""
    return "firmer" if "firmer" in blame.values() else "gentler"


def given_up(blame: Mapping[str, Way]) -> list[str]:
    """Whose requests fail when the ladder is at its end: who leaks, or everybody if it is harm."""
    way = way_of(blame)
    return [id for id, own in blame.items() if own == way]


def judge(
    audit: Mapping[str, Any],
    people: Mapping[str, str],
    back: Mapping[str, tuple[int, int]],
) -> Verdict:
    """Read the gate.

    Args:
        people: request by pseudonym, of everybody in the audit.
        back: see `Verdict.back`.

    Raises:
        InputError: none of the gate's figures was measured, so it can say nothing.
    """
    failed = [line for line in audit["gate"]["lines"] if line["status"] == "failed"]
    if not failed and not audit["gate"]["passed"]:
        raise InputError("gate: none of its figures was measured, expected at least one that is")
    ways = {_way(line) for line in failed}
    blame: dict[str, Way] = {}
    if "gentler" in ways or returned(back):
        blame |= dict.fromkeys(people.values(), "gentler")
    if "firmer" in ways:
        blame |= dict.fromkeys(_leaking(audit, people), "firmer")
    return Verdict(audit, blame, back)


def returned(back: Mapping[str, tuple[int, int]]) -> list[str]:
    """Earlier requests whose memory is back."""
    return [id for id, (told, asked) in back.items() if told > max(1, EARLIER * asked)]


def means(audit: Mapping[str, Any]) -> dict[str, float]:
    """The figures that are shown."""
    return {
        name: round(figure["mean"], 4) for name, figure in audit["figures"].items() if name in SHOWN
    }


def figures_of(audit: Mapping[str, Any], pseudonym: str) -> dict[str, Any]:
    """What the ledger keeps of an audit for one request: means, and the person's own counts."""
    kept: dict[str, Any] = means(audit)
    own = next((row for row in audit["people"] if row["pseudonym"] == pseudonym), None)
    if own is not None:
        kept |= {"person.facts": own["facts"], "person.came_back": own["found"]["after"]}
        if "before" in own["found"]:
            kept["person.known_before"] = own["found"]["before"]
    return kept


def _way(line: Mapping[str, Any]) -> Way:
    """Which way a failed line wants to go: too much remembered, or too much done."""
    name = str(line["figure"])
    if name.startswith(REMEMBERED):
        return "firmer" if "at_most" in line else "gentler"
    if name in FORGOTTEN:
        return "firmer" if "at_least" in line else "gentler"
    return "gentler"


def _leaking(audit: Mapping[str, Any], people: Mapping[str, str]) -> Sequence[str]:
    """Whose facts came back clearly more often than by chance; everybody if none stands out."""
    chance = (audit["figures"].get("leak.control") or {"mean": 0.0})["mean"]
    found = [
        people[row["pseudonym"]]
        for row in audit["people"]
        if row["pseudonym"] in people
        and row["found"]["after"] / max(1, row["facts"]) > chance + OUTLIER
    ]
    return found or [*people.values()]
