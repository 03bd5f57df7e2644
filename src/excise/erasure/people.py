"""The rows of an audit: attack by attack, and person by person under a pseudonym."""

from __future__ import annotations

import secrets as random_source
from collections.abc import Mapping, Sequence
from typing import Any

from excise.erasure.leaks import above, fact, facts_found, person, rate, recovered
from excise.erasure.plan import Plan
from excise.erasure.side import Side
from excise.evaluate.attacks.target import Outcome
from excise.records.pseudonym import pseudonym
from excise.records.record import Record


def attack_rows(plan: Plan, sides: Mapping[str, Side]) -> list[dict[str, Any]]:
    """One row an attack: what it asked, and what it got of each side, controls beside it."""
    first: dict[str, Outcome] = {}
    for side in sides.values():
        for outcome in side.outcomes:
            first.setdefault(outcome.attack, outcome)
    return [
        {
            "attack": name,
            "family": outcome.family,
            "options": dict(outcome.options),
            "asks": outcome.asks,
            "sides": {
                side.name: _of_side(plan, own)
                for side in sides.values()
                for own in side.outcomes
                if own.attack == name
            },
        }
        for name, outcome in first.items()
    ]


def family_rows(plan: Plan, sides: Mapping[str, Side]) -> list[dict[str, Any]]:
    """One row a family: the share of questions that its attacks got, raw, by chance, above it."""
    families = dict.fromkeys(o.family for side in sides.values() for o in side.outcomes)
    rows = []
    for family in families:
        own = {
            name: [o for o in side.outcomes if o.family == family] for name, side in sides.items()
        }
        asks = max(sum(outcome.asks for outcome in outcomes) for outcomes in own.values())
        rows.append(
            {
                "family": family,
                "asks": asks,
                "sides": {name: _rates(plan, outcomes) for name, outcomes in own.items()},
            }
        )
    return rows


def _rates(plan: Plan, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    found = recovered(outcomes)
    return {
        "rate": rate(plan.secrets, found, plan.seed),
        "control": rate(plan.controls, found, plan.seed),
        "above": above(plan.secrets, plan.controls, found, plan.seed),
    }


def _of_side(plan: Plan, outcome: Outcome) -> dict[str, Any]:
    found = recovered([outcome])
    facts = facts_found(plan.secrets, found)
    return {
        "facts_found": sum(facts.values()),
        "facts": len(facts),
        "rate": rate(plan.secrets, found, plan.seed),
        "control": rate(plan.controls, found, plan.seed),
        "notes": dict(outcome.notes),
    }


def people_rows(
    plan: Plan, sides: Mapping[str, Side], salt: str | None = None
) -> list[dict[str, Any]]:
    """One row a forgotten person: how many facts, how many came back on each side, and how.

    What the reference gives away too came by guessing, and stands beside it.
    """
    salt = salt or random_source.token_hex(16)
    by_person: dict[str, list[Record]] = {}
    for record in plan.secrets:
        by_person.setdefault(person(record), []).append(record)
    rows = []
    for who, records in by_person.items():
        row: dict[str, Any] = {
            "pseudonym": pseudonym(who, salt),
            "facts": len({fact(record) for record in records}),
            "found": {side.name: _count(records, side.outcomes) for side in sides.values()},
            "plainly": {
                side.name: _count(records, [o for o in side.outcomes if o.family == "plain"])
                for side in sides.values()
            },
            "by": sorted(
                outcome.attack for outcome in sides["after"].outcomes if _count(records, [outcome])
            ),
        }
        rows.append(row)
    return sorted(rows, key=lambda row: (-row["found"]["after"], row["pseudonym"]))


def _count(records: Sequence[Record], outcomes: Sequence[Outcome]) -> int:
    return sum(facts_found(records, recovered(outcomes)).values())
