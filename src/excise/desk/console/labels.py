"""What the figures, states and log entries of the desk are called on a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from excise.desk.ledger.entities import Entry
from excise.desk.ledger.states import State
from excise.report.figures import Figure, figure, number, percent

FIGURES: dict[str, tuple[str, str]] = {
    "leak.any": ("Came back under any attack, above chance", "↓"),
    "leak.any.raw": ("Came back under any attack", "↓"),
    "leak.control": ("The same for people never known", ""),
    "leak.plain": ("Told when simply asked", "↓"),
    "leak.other_door": ("Told by the other door", "↓"),
    "leak.prompt": ("Told under leading prompts", "↓"),
    "leak.picture": ("Told under changed pictures", "↓"),
    "leak.sampling": ("Told when sampled often", "↓"),
    "leak.prefill": ("Told when the answer is begun", "↓"),
    "leak.quantisation": ("Told after quantisation", "↓"),
    "leak.relearning": ("Told after a little relearning", "↓"),
    "memory.forget": ("Memory of the person", "↓"),
    "kept.memory": ("Memory of everybody else, kept", "↑"),
    "kept.understanding.forget": ("Understanding of the person's pictures, kept", "↑"),
    "kept.understanding.retain": ("Understanding of other people's pictures, kept", "↑"),
    "kept.understanding.unseen": ("Understanding of pictures never seen, kept", "↑"),
    "kept.captions": ("Captions, kept", "↑"),
    "kept.grounding": ("Pointing at things, kept", "↑"),
    "kept.general": ("Other skills, kept", "↑"),
    "refusal.unseen": ("Refuses about strangers", "↓"),
    "meaningful": ("Answers that are sentences", "↑"),
    "earlier.back": ("Earlier requests: probes answered truly again, the worst", "↓"),
}
WHOLE = {"covered": "Requests covered", "rebuild_due": "Rebuild due"}
"""Figures of a model's health that are no shares."""
COUNTS = {
    "person.facts": "Facts about the person",
    "person.known_before": "of them told before",
    "person.came_back": "of them told after",
}
KINDS = {
    "request.submitted": "Handed in",
    "request.attached": "Records added",
    "request.noted": "Figures noted",
    "request.decided": "Decided",
    "request.extended": "Deadline extended",
    "request.withdrawn": "Withdrawn",
    "vault.unlocked": "Unlocked",
    "vault.sealed": "Sealed",
    "vault.shredding": "Shredding begun",
    "vault.shredded": "Shredded",
    "release.made": "Released",
    "release.rolled_back": "Release rolled back",
    "batch.made": "Taken up by a worker",
    "batch.taken": "Taken over by a worker",
    "batch.finished": "Batch finished",
    "key.added": "Key made",
    "key.revoked": "Key revoked",
    "model.registered": "Model registered",
    "model.changed": "Model changed",
    "health.recorded": "Health recorded",
    "ledger.made": "Ledger made",
    "ledger.upgraded": "Ledger upgraded",
}
PATH: tuple[tuple[State, str], ...] = (
    ("received", "Received"),
    ("identified", "Identified"),
    ("queued", "Queued"),
    ("forgetting", "Forgetting"),
    ("auditing", "Auditing"),
    ("passed", "Passed"),
    ("released", "Released"),
)
STATES: dict[str, str] = {**dict(PATH), "failed": "Failed", "withdrawn": "Withdrawn"}


def figure_rows(figures: Mapping[str, Any]) -> list[dict[str, str]]:
    """Rows (label, arrow, before, now, interval) in a fixed order, unknown figures at the end."""
    names = [name for name in figures if not name.startswith("before.") and name not in COUNTS]
    order = [*FIGURES]
    names.sort(key=lambda name: (order.index(name) if name in FIGURES else len(order), name))
    rows = []
    for name in names:
        now = figure(figures[name])
        if now is None:
            continue
        before = figure(figures.get(f"before.{name}"))
        label, arrow = figure_label(name)
        text = written(name)
        rows.append(
            {
                "name": name,
                "label": label,
                "arrow": arrow,
                "before": text(before.mean) if before else "",
                "now": text(now.mean),
                "interval": interval(now, text),
            }
        )
    return rows


def figure_label(name: str) -> tuple[str, str]:
    """Its words, and an arrow to the better side if one side is."""
    if name in WHOLE:
        return WHOLE[name], ""
    return FIGURES.get(name, (name.replace("_", " ").replace(".", ", "), ""))


def written(name: str) -> Callable[[float], str]:
    """How a figure is written: those that we know are shares."""
    if name == "rebuild_due":
        return lambda value: "yes" if value else "no"
    if name in WHOLE:
        return lambda value: number(value, 0)
    return percent if name in FIGURES else number


def interval(value: Figure, text: Callable[[float], str]) -> str:
    """`0–6.0 %`; empty where there is none."""
    if value.low is None or value.high is None:
        return ""
    low, high = text(value.low), text(value.high)
    return f"{low.removesuffix(chr(160) + '%')}–{high}"


def count_rows(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The person's own counts."""
    found = [(label, figure(figures.get(name))) for name, label in COUNTS.items()]
    return [(label, number(value.mean, 0)) for label, value in found if value]


def entry_title(entry: Entry) -> str:
    """What happened, in a word or two."""
    if entry.kind == "request.moved":
        state = str(entry.content.get("state", ""))
        return STATES.get(state, state)
    if entry.kind == "step.noted":
        step = _row(entry, "steps")
        return f"Step {step.get('name', '')} {step.get('status', '')}".strip()
    plain = entry.kind.replace(".", " ").replace("_", " ").capitalize()
    return KINDS.get(entry.kind, plain)


def entry_words(entry: Entry) -> list[tuple[str, str]]:
    """An entry's content as (name, value) pairs, long hashes cut; without the rows of the tables,
    which repeat it."""
    shown = {k: v for k, v in entry.content.items() if k not in ("rows", "state")}
    if entry.kind.startswith("model."):
        shown["model"] = _row(entry, "models").get("name")
    if entry.kind.startswith("key."):
        key = _row(entry, "api_keys")
        shown |= {"key": key.get("id"), "used by": key.get("name"), "role": key.get("role")}
    if entry.kind == "request.decided":
        shown["decision"] = {"accept": "accepted", "refuse": "refused"}.get(
            str(shown.get("decision")), shown.get("decision")
        )
    return [
        (str(key).replace("_", " "), _words(value))
        for key, value in shown.items()
        if value not in (None, "", {}, [], ())
    ]


def _row(entry: Entry, table: str) -> Mapping[str, Any]:
    """What the entry wrote into that table, of several rows the last."""
    rows = entry.content.get("rows") or []
    found = [r[2] for r in rows if isinstance(r, list | tuple) and len(r) > 2 and r[0] == table]
    return found[-1] if found and isinstance(found[-1], Mapping) else {}


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_words(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_words(inner) for inner in value)
    text = str(value)
    return f"{text[:12]}…" if len(text) >= 40 and " " not in text else text
