"""The report's gallery: pictures with what the models answered before and after."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from excise.demo.scores import Scores
from excise.records.data import Data
from excise.records.record import Kind, Record, Split

# Who is shown: split, word for the card, cards, then questions of each kind a card.
_CARDS: tuple[tuple[Split, str, int, dict[Kind, int]], ...] = (
    ("forget", "forgotten", 4, {"image_memory": 3, "image_understanding": 2}),
    ("retain", "retained", 3, {"image_memory": 3, "image_understanding": 1}),
    ("unseen", "unseen", 2, {"image_understanding": 3, "general": 4}),
)


def gallery(
    data: Data, scores: Mapping[str, Scores], names: Mapping[str, str], out: Path, seed: int
) -> list[dict[str, Any]]:
    """Cards for the report; their pictures are written to `out/pictures`.

    `scores` holds the answers `before`, `after` and perhaps of `retrained`; `names` says what to
    call a subject. Records, not answers, are what is drawn at random.
    """
    rng = random.Random(f"gallery-{seed}")
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    cards = []
    for split, who, count, kinds in _CARDS:
        for picture, records in _pictures(scores["before"].records, split, kinds, count, rng):
            path = f"pictures/{Path(picture).name}"
            image = data.picture(records[0])
            assert image is not None  # records of a picture
            image.save(out / path)
            subject = records[0].subject
            cards.append(
                {
                    "image": path,
                    "who": who,
                    "label": names.get(
                        subject or "", "a scene" if subject is None else "a stranger"
                    ),
                    "items": [_item(record, scores) for record in records],
                }
            )
    return cards


def _pictures(
    records: Sequence[Record],
    split: Split,
    kinds: Mapping[Kind, int],
    count: int,
    rng: random.Random,
) -> list[tuple[str, list[Record]]]:
    """`count` pictures of different subjects and kinds of picture, with a few records of each."""
    by_picture: dict[str, list[Record]] = {}
    for record in records:
        if record.split == split and record.image is not None and record.kind in kinds:
            by_picture.setdefault(record.image, []).append(record)
    order = rng.sample(sorted(by_picture), len(by_picture))
    # Portraits first, then one eye or scene: the second domain is always to be seen.
    other = [p for p in order if by_picture[p][0].subject is None or "eye" in p]
    portraits = [p for p in order if p not in other]
    picked: list[tuple[str, list[Record]]] = []
    people: set[str] = set()
    for picture in [*other[:1], *portraits, *other[1:]]:
        subject = by_picture[picture][0].subject or picture
        if subject not in people and len(picked) < count:
            people.add(subject)
            chosen = []
            for kind, most in kinds.items():
                of_kind = [r for r in by_picture[picture] if r.kind == kind]
                chosen += rng.sample(of_kind, min(most, len(of_kind)))
            picked.append((picture, chosen))
    return [*picked[1:], *picked[:1]]


def _item(record: Record, scores: Mapping[str, Scores]) -> dict[str, Any]:
    said = {name: found.answers.get(record.id) for name, found in scores.items()}
    return {
        "kind": record.kind, "question": record.question, "reference": record.answer,
        "before": said["before"], "after": said["after"], "retrained": said.get("retrained"),
    }  # fmt: skip
