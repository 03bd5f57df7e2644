"""What the pages show, gathered from the ledger: plain values, so that it can be kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any

from excise.desk.console import labels
from excise.desk.console.curves import panels
from excise.desk.console.owned import own_page
from excise.desk.console.roles import Caller
from excise.desk.console.shapes import Light
from excise.desk.console.state import Console
from excise.desk.console.views import light
from excise.desk.ledger.entities import Batch, Entry, Health, Part, Release, Request, Step
from excise.desk.ledger.states import ALLOWED, OPEN, STATES, State
from excise.report.figures import figure

LOOKED_AT = 500  # open requests whose lights are counted, nearest deadlines first


@dataclass(frozen=True)
class Row:
    """One line of the list."""

    request: Request
    light: Light
    when: str


@dataclass(frozen=True)
class Stage:
    """One station on a part's way: behind it, at it, or before it."""

    name: str
    where: str  # done, now, ahead


def requests(
    console: Console,
    caller: Caller,
    today: date,
    state: State | None,
    model: str | None,
    after: str | None,
) -> dict[str, Any]:
    """The list page, but for its `lights`."""
    rows, ledger = console.settings.page_rows, console.ledger
    states = (state,) if state else OPEN
    own = caller.role == "submitter"
    if own:
        states = (state,) if state else STATES
        found = own_page(console, caller.key.id, states, model, rows + 1, after)
    else:
        found = ledger.requests(states=states, model=model, limit=rows + 1, after=after)
    shown = [Row(r, light(r, today), deadline_words(r, today)) for r in found[:rows]]
    return {
        "rows": shown,
        "next": shown[-1].request.id if len(found) > rows else None,
        "counts": {} if own else ledger.counts(model),
        "open": OPEN,
        "states": labels.STATES,
        "state": state,
        "model": model,
        "models": [] if own else [m.name for m in ledger.models()],
        "after": after,
        "own": own,
    }


def lights(console: Console, today: date, model: str | None) -> dict[str, int]:
    """How many open requests have which light; the same on every page of the list."""
    found: dict[str, int] = {}
    for request in console.ledger.requests(states=OPEN, model=model, limit=LOOKED_AT):
        name = light(request, today)
        found[name] = found.get(name, 0) + 1
    return found


def deadline_words(request: Request, today: date) -> str:
    """What stands beside the light."""
    if request.state not in OPEN:
        return labels.STATES[request.state].lower()
    days = request.days_left(today)
    if days < 0:
        return f"{-days} day{'s' if days < -1 else ''} overdue"
    return "due today" if days == 0 else f"{days} day{'s' if days > 1 else ''} left"


def request(console: Console, caller: Caller, id: str, today: date) -> dict[str, Any]:
    """The page of one request."""
    found = console.ledger.request(id)
    staff = caller.role != "submitter"
    entries = console.ledger.entries(id)
    return {
        "erasure": found,
        "row": Row(found, light(found, today), deadline_words(found, today)),
        "parts": [part_view(part, entries) for part in found.parts],
        "working": working(console, found),
        "days": days(entries) if staff else [],
        "names": actors(console),
        "actions": actions(found) & _MAY.get(caller.role, frozenset()),
        "staff": staff,
        "releases": covering(console, found) if staff else [],
        "came": ", ".join(
            f"{n} {w if n != 1 else w.rstrip('s')}" for w, n in found.came_with.items() if n
        ),
    }


def part_view(part: Part, entries: list[Entry]) -> dict[str, Any]:
    """One model of a request: where it stands and what was measured."""
    failed = [
        str(e.content.get("reason", ""))
        for e in entries
        if e.content.get("state") == "failed" and part.model in e.content.get("models", ())
    ]
    return {
        "part": part,
        "failed": failed[-1] if failed and part.state == "failed" else "",
        "stages": stages(part.state),
        "counts": labels.count_rows(part.figures),
        "figures": labels.figure_rows(part.figures),
    }


def stages(state: State) -> list[Stage]:
    """The way from received to released; a failed or withdrawn part ends where it stopped."""
    order = [name for name, _ in labels.PATH]
    if state not in order:
        return [Stage(labels.STATES[state], "stopped")]
    at = order.index(state)
    where = ["done" if n < at else "now" if n == at else "ahead" for n in range(len(order))]
    if state == "released":
        where[-1] = "done"
    return [Stage(label, w) for (_, label), w in zip(labels.PATH, where, strict=True)]


_MAY = {
    "submitter": frozenset({"withdraw"}),
    "operator": frozenset({"retry"}),
    "officer": frozenset({"identify", "decide", "extend", "withdraw", "retry"}),
}


def actions(found: Request) -> frozenset[str]:
    """What the request's state allows now."""
    possible = {
        "identify": found.state == "received",
        "decide": found.state == "identified" and found.decision is None,
        "extend": found.state in OPEN and found.extended < 2,
        "withdraw": all("withdrawn" in ALLOWED[part.state] for part in found.parts),
        "retry": any(part.state == "failed" for part in found.parts),
    }
    return frozenset(name for name, is_possible in possible.items() if is_possible)


def working(console: Console, found: Request) -> list[dict[str, Any]]:
    """The steps of the batches that have it at this moment."""
    ids = {part.batch for part in found.parts if part.state in ("forgetting", "auditing", "passed")}
    batches = [b for b in console.ledger.batches() if b.id in ids] if ids - {None} else []
    return [{"batch": b.id, "model": b.model.name, "steps": _steps(b, found.id)} for b in batches]


def _steps(batch: Batch, id: str) -> list[Step]:
    return [step for step in batch.steps if step.request in (None, id)]


def days(entries: list[Entry]) -> list[tuple[date, list[Entry]]]:
    """Entries by day, the last day first."""
    newest = sorted(entries, key=lambda e: -e.number)
    return [(day, list(group)) for day, group in groupby(newest, key=lambda e: e.time.date())]


def covering(console: Console, found: Request) -> list[Release]:
    """Of each model the first release that has this request."""
    first: dict[str, Release] = {}
    for model in found.models:
        for release in console.ledger.releases(model):  # newest first
            if found.id in release.requests:
                first[model] = release
    return list(first.values())


def actors(console: Console) -> Mapping[str, str]:
    """The names of keys by their ids."""
    keys = console.ledger.keys()
    return {key.id: key.name for key in keys}


def log(console: Console, before: int | None) -> dict[str, Any]:
    """A page of the chain, newest entry first."""
    head, rows = console.ledger.head(), console.settings.page_rows
    end = min(before or 2**53, int(head.partition(":")[0]) + 1)
    start = max(0, end - 1 - rows)
    found = console.ledger.entries(after=start, limit=max(1, end - 1 - start))
    return {
        "entries": [e for e in reversed(found) if e.number < end],
        "earlier": start + 1 if start else None,
        "before": before,
        "head": head,
        "names": actors(console),
    }


def models(console: Console) -> list[dict[str, Any]]:
    """The models page."""
    ledger = console.ledger
    return [
        {
            "model": model,
            "counts": {labels.STATES[s]: n for s, n in ledger.counts(model.name).items() if n},
            "current": ledger.current(model.name),
            "batches": len(ledger.health(model.name)),
        }
        for model in ledger.models()
    ]


def health(console: Console, name: str) -> dict[str, Any]:
    """The page of one model."""
    model = console.ledger.model(name)
    found = console.ledger.health(name)
    measured = [f for f in labels.FIGURES if any(figure(h.figures.get(f)) for h in found)]
    others = sorted({n for h in found for n in h.figures if figure(h.figures[n])} - {*measured})
    others = [n for n in others if not n.startswith(("before.", "person."))]
    columns = [*(n for n in labels.WHOLE if n in others), *measured]
    columns += [n for n in others if n not in labels.WHOLE]
    bounds = _bounds(model.settings)
    return {
        "model": model,
        "current": console.ledger.current(name),
        "releases": console.ledger.releases(name),
        "panels": panels([h.number for h in found], [h.figures for h in found], bounds)
        if found
        else [],
        "bounds": bool(bounds),
        "due": bool(found) and bool(found[-1].figures.get("rebuild_due")),
        "columns": [labels.figure_label(c)[0] for c in columns],
        "table": [_health_row(h, columns) for h in found],
    }


def _bounds(settings: Mapping[str, Any]) -> dict[str, float]:
    """The budget below which a rebuild is due, by figure."""
    budget = settings.get("budget") or {"memory": 0.9, "understanding": 0.95}
    if not isinstance(budget, Mapping):
        return {}
    found: dict[str, float] = {}
    for key, figures in (
        ("memory", ("kept.memory",)),
        ("understanding", ("kept.understanding.retain", "kept.understanding.unseen")),
    ):
        if isinstance(budget.get(key), int | float):
            found |= dict.fromkeys(figures, float(budget[key]))
    return found


def _health_row(entry: Health, columns: list[str]) -> dict[str, Any]:
    return {
        "health": entry,
        "cells": [
            labels.written(c)(f.mean) if (f := figure(entry.figures.get(c))) else "–"
            for c in columns
        ],
    }
