"""The gallery: pictures with question, answer before and answer after, as cards.

Without leave to show the data in clear, a card carries no picture, no name, no question and no
answer, whoever is on it: only the kind of each question and what became of it. Pictures are
written anew, small and without their metadata, because a phone's photograph tells where it was
taken.
"""

from __future__ import annotations

import base64
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from excise.records.errors import InputError
from excise.report.outcome import Outcome, outcome, words
from excise.report.rows import KIND_NAMES

SHELVES = {
    "forgotten": "People to be forgotten",
    "few": "People shown to the method",
    "retained": "People kept",
    "unseen": "Never seen before",
}
PSEUDONYM = re.compile(r"person-[0-9a-f]{4,64}")
LARGEST = 384  # pixels on the longer side; larger pictures are shrunk
CRISP = 128  # up to this size a picture is enlarged without smoothing


@dataclass(frozen=True)
class Item:
    """One question of a card; all texts but `kind` are empty where nothing is shown in clear."""

    kind: str
    outcome: Outcome
    question: str = ""
    reference: str = ""
    before: str = ""
    after: str = ""
    retrained: str = ""


@dataclass(frozen=True)
class Card:
    """One picture, or one person, with its questions."""

    who: str
    label: str
    picture: str  # data URI, or empty
    crisp: bool
    items: tuple[Item, ...]

    @property
    def counts(self) -> list[tuple[Outcome, int]]:
        """How often each outcome occurs."""
        return list(Counter(item.outcome for item in self.items).items())

    @property
    def counts_by_kind(self) -> list[tuple[str, list[tuple[Outcome, int]]]]:
        """The same for each kind of question, for cards that show no text."""
        kinds = dict.fromkeys(item.kind for item in self.items)
        return [
            (kind, list(Counter(i.outcome for i in self.items if i.kind == kind).items()))
            for kind in kinds
        ]


@dataclass(frozen=True)
class Shelf:
    """The cards of people who share a fate."""

    who: str
    title: str
    cards: tuple[Card, ...]


def cards(report: Mapping[str, Any], folder: Path) -> list[Card]:
    """Read the report's `gallery`; pictures are looked up in `folder`.

    Raises:
        InputError: a picture is missing, unreadable or outside the folder.
    """
    clear = report.get("clear") is True
    return [_card(entry, folder, clear) for entry in report.get("gallery") or []]


def safe_label(label: str) -> str:
    """A pseudonym as it is; anything else might be a name and is withheld."""
    return label if PSEUDONYM.fullmatch(label) else "name withheld"


def shelves(cards_: Sequence[Card]) -> list[Shelf]:
    """Sort cards by who is on them: forgotten people first, strangers last."""
    order = [*SHELVES, *dict.fromkeys(c.who for c in cards_ if c.who not in SHELVES)]
    found = [(who, tuple(c for c in cards_ if c.who == who)) for who in order]
    return [Shelf(who, SHELVES.get(who, who), group) for who, group in found if group]


def _card(entry: Mapping[str, Any], folder: Path, clear: bool) -> Card:
    who, label = str(entry.get("who", "")), str(entry.get("label") or "")
    items = tuple(_item(who, raw, clear) for raw in entry.get("items") or [])
    picture, crisp = "", False
    if clear and entry.get("image"):
        picture, crisp = data_uri(folder, str(entry["image"]))
    shown = label if clear else safe_label(label)
    return Card(who, shown, picture, crisp, items)


def _item(who: str, raw: Mapping[str, Any], clear: bool) -> Item:
    kind, reference, before, after, retrained, question = (
        str(raw.get(key) or "").strip()
        for key in ("kind", "reference", "before", "after", "retrained", "question")
    )
    result = outcome(who, kind, reference, before, after)
    name = KIND_NAMES.get(kind, kind)
    if words(retrained) == words(after):
        retrained = ""  # a third time the same answer tells nothing
    if not clear:
        return Item(name, result)
    return Item(name, result, question, reference, before, after, retrained)


def data_uri(folder: Path, name: str) -> tuple[str, bool]:
    """A picture as a data URI, and whether it is small enough to be enlarged crisply."""
    from PIL import Image, UnidentifiedImageError

    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise InputError(f"report.json: gallery image {name!r} lies outside the report's folder")
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except FileNotFoundError:
        raise InputError(f"report.json: gallery image {name!r} does not exist") from None
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        raise InputError(f"report.json: gallery image {name!r} is not a readable picture") from None
    crisp = max(picture.size) <= CRISP
    picture.thumbnail((LARGEST, LARGEST))
    buffer = io.BytesIO()
    kind = "png" if crisp else "jpeg"
    if crisp:
        picture.save(buffer, "PNG", optimize=True)
    else:
        picture.save(buffer, "JPEG", quality=85)
    text = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{kind};base64,{text}", crisp
