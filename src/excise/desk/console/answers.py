"""Questions with their answers before and after, for the page that shows them side by side.

Two files, both of schema `excise.answers/1`, `{"schema", "items": [{"kind", "question", "answer",
"before", "after"}]}`, where `answer` is the true one:

- `answers.json` in the folder of the release that first covered the request: understanding and
  general questions about everybody else's pictures, which are nobody's secret and are shown as they
  are;
- `answers.json` among what is sealed (in the `probes` or the `data` part): the private questions,
  and those about the person's own pictures. An officer unlocks them with a reason.

Where the second is missing but the records are still sealed, their questions and true answers are
shown without what the model said. After shredding nothing is left to show, and the page says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from excise.desk.console.state import Console
from excise.desk.errors import Sealed
from excise.desk.ledger.entities import Part
from excise.records.reading import read
from excise.report.gallery import data_uri
from excise.report.outcome import PRIVATE, Outcome, outcome

SCHEMA = "excise.answers/1"
FILE = "answers.json"
KINDS = {
    "image_memory": "who is in the picture",
    "text_memory": "what is known without a picture",
    "image_understanding": "what the picture shows",
    "general": "other skills",
}
PICTURES = 12


@dataclass(frozen=True)
class Item:
    """One question; `before` and `after` are None where no model was asked."""

    kind: str
    question: str
    answer: str
    before: str | None
    after: str | None
    outcome: Outcome | None


@dataclass(frozen=True)
class Unlocked:
    """What an officer sees."""

    items: list[Item]
    pictures: list[str]
    """Data URIs."""
    name: str | None


def open_answers(console: Console, part: Part) -> list[Item]:
    """The questions that are nobody's secret; none where the work has written none."""
    if part.run is None:
        return []
    root = console.ledger.settings.folder.resolve()
    path = (root / part.run / FILE).resolve()
    return _items("kept", _read(path)) if path.is_relative_to(root) else []


def unlocked(console: Console, request_id: str, actor: str, reason: str) -> Unlocked:
    """Open what is sealed of a request; the log gets actor and reason first.

    Raises:
        Sealed: all of it is shredded.
    """
    sealed = console.ledger.request(request_id).sealed
    parts = [part for part in ("data", "probes") if sealed.get(part) == "sealed"]
    if not parts:
        raise Sealed(f"{request_id}: what came with it is shredded; figures and hashes are left")
    items: list[Item] = []
    pictures: dict[str, None] = {}
    name: str | None = None
    for part in parts:
        with console.ledger.unlock(
            request_id,
            actor=actor,
            reason=reason,
            part=part,  # type: ignore[arg-type]
        ) as folder:
            items = items or _items("forgotten", _read(folder / FILE))
            if part == "data":
                name = name or _name(folder)
                items = items or _from_records(folder)
            pictures |= dict.fromkeys(_pictures(folder))
    return Unlocked(items, list(pictures)[:PICTURES], name)


def _read(path: Path) -> Iterable[Mapping[str, Any]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        return []
    return [item for item in found.get("items") or [] if isinstance(item, dict)]


def _items(who: str, raw: Iterable[Mapping[str, Any]]) -> list[Item]:
    return [_item(who, entry) for entry in raw]


def _item(who: str, raw: Mapping[str, Any]) -> Item:
    kind, question, answer = (str(raw.get(key) or "") for key in ("kind", "question", "answer"))
    before, after = (None if raw.get(k) is None else str(raw[k]) for k in ("before", "after"))
    what = None
    if before is not None and after is not None:
        private = who == "forgotten" and kind in PRIVATE
        what = outcome("forgotten" if private else "kept", kind, answer, before, after)
    return Item(kind, question, answer, before, after, what)


def _from_records(folder: Path) -> list[Item]:
    if not (folder / "records.jsonl").is_file():
        return []
    return [Item(r.kind, r.question, r.answer, None, None, None) for r in read(folder).records]


def _name(folder: Path) -> str | None:
    try:
        found = json.loads((folder / "person.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    name = found.get("name") if isinstance(found, dict) else None
    return str(name) if name else None


def _pictures(folder: Path) -> list[str]:
    """Small copies without metadata; where a picture was taken is nobody's business here."""
    paths = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in (".png", ".jpg", ".webp")]
    return [data_uri(folder, p.relative_to(folder).as_posix())[0] for p in paths[:PICTURES]]
