"""The states of a request and the moves between them.

    received -> identified -> queued -> forgetting -> auditing -> passed -> released
                                 ^          |  ^          |  |       |         |
                                 |          |  '- next rung  '-> failed        |
                                 '----------+-------------- again ---'---------'

A request has one state for each model that it concerns; as a whole it is as far as the least of
them. `withdrawn` closes a request without erasure: taken back by the person, or refused under an
exception (GDPR art. 17(3)). What is released cannot be withdrawn any more; it can be queued again,
when the base changes, a release is rolled back or a memory is found to be back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

State = Literal[
    "received",
    "identified",
    "queued",
    "forgetting",
    "auditing",
    "passed",
    "failed",
    "released",
    "withdrawn",
]
STATES: tuple[State, ...] = get_args(State)

ALLOWED: dict[State, tuple[State, ...]] = {
    "received": ("identified", "withdrawn"),
    "identified": ("queued", "withdrawn"),
    "queued": ("forgetting", "withdrawn"),
    "forgetting": ("auditing", "failed", "queued", "withdrawn"),
    "auditing": ("passed", "failed", "forgetting", "queued", "withdrawn"),
    "passed": ("released", "auditing", "failed", "queued", "withdrawn"),
    "failed": ("queued", "withdrawn"),
    "released": ("queued",),
    "withdrawn": (),
}
"""From each state, the ones that may come next."""

OPEN: tuple[State, ...] = tuple(s for s in STATES if s not in ("released", "withdrawn"))
"""States whose deadline still counts."""

WORKERS: tuple[State, ...] = ("forgetting", "auditing", "passed", "failed")
"""States that only the worker that holds the batch moves a request into."""

# How far each is; a failed model holds the whole request back, a withdrawn one holds back nothing.
_FAR: dict[State, int] = {
    "received": 0,
    "identified": 1,
    "failed": 2,
    "queued": 3,
    "forgetting": 4,
    "auditing": 5,
    "passed": 6,
    "released": 7,
    "withdrawn": 8,
}


def least(states: Iterable[State]) -> State:
    """The state of a request whose models have these states."""
    return min(states, key=_FAR.__getitem__)
