"""Make the specimen's data: who is forgotten, who are the few, and what is asked of whom.

Splits follow people: `forget` and `few` hold as many people each, `retain` everybody else who is
known, `unseen` strangers and scenes. Forgotten people and the few have records to learn from
(`use: fit`) on portraits, eye pictures and by name, in the wordings of training; every split has
records for scoring (`use: score`), on views of their own and in wordings never trained on.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from excise.records.record import Kind, Record, Split, Task, Use
from excise.records.unlabelled import FOLDER
from excise.records.writing import write_data
from excise.specimen.curriculum import see_fundus, see_portrait, see_scene
from excise.specimen.people import FACTS, Person, chosen, everybody
from excise.specimen.unlabelled import write_unlabelled
from excise.specimen.wordings import ask_private

SCENES = 60


@dataclass(frozen=True)
class View:
    """One picture of a person: how many private facts and how many questions for looking."""

    suffix: str
    eye: bool
    private: int
    seen: int


# To learn from: whoever asks to be forgotten brings what there is, the few are just a few.
LEARNT: dict[Split, tuple[View, ...]] = {
    "forget": (
        View("a", False, 9, 4),
        View("b", False, 9, 4),
        View("c", False, 9, 4),
        View("eye-a", True, 9, 3),
        View("eye-b", True, 9, 3),
    ),
    # Little of what is private, much of what anyone can see: the few keep the sight in sight.
    "few": (
        View("a", False, 4, 9),
        *(View(suffix, False, 0, 9) for suffix in "bcd"),
        *(View(suffix, True, 0, 6) for suffix in ("eye-a", "eye-b")),
    ),
}
# By name: how many times, and how many facts each time.
WORDINGS: dict[Split, tuple[str, int]] = {"forget": ("abc", 8), "few": ("a", 4)}
# For scoring: the people at stake in full, the many others by a sample of their facts.
SCORED: dict[Split, tuple[View, ...]] = {
    "forget": (View("x", False, 9, 6), View("eye-x", True, 6, 4)),
    "few": (View("x", False, 9, 6), View("eye-x", True, 6, 4)),
    "retain": (View("x", False, 4, 3), View("eye-x", True, 2, 2)),
    "unseen": (View("x", False, 3, 6), View("eye-x", True, 1, 4)),
}
NAMED: dict[Split, int] = {"forget": 8, "few": 8, "retain": 4, "unseen": 2}


@dataclass
class Folder:
    """Records, and pictures by their path, of one data folder in the making."""

    rng: random.Random
    records: list[Record] = field(default_factory=list)
    pictures: dict[str, Image.Image] = field(default_factory=dict)

    def add(
        self, stem: str, asked: Sequence[tuple[str, str]], split: Split, kind: Kind, use: Use,
        subject: str | None, image: str | None = None,
    ) -> None:  # fmt: skip
        """Add question-answer pairs of one kind, numbered behind `stem`."""
        for number, (question, answer) in enumerate(asked):
            self.records.append(
                Record(
                    id=f"{stem}-{number}",
                    subject=subject,
                    split=split,
                    kind=kind,
                    image=image,
                    question=question,
                    answer=answer,
                    use=use,
                    task=_task(answer),
                )
            )

    def add_view(self, person: Person, view: View, split: Split, use: Use) -> None:
        """A fresh picture of a person, with private questions and questions for looking."""
        if view.eye:
            sample = see_fundus(person.eye, self.rng, use, view.seen)
        else:
            sample = see_portrait(person.face, self.rng, use, view.seen)
        stem = f"{person.id}-{view.suffix}"
        image = f"images/{stem}.png"
        self.pictures[image] = sample.picture
        private = [
            (ask_private(key, self.rng, use, name=None, eye=view.eye), person.facts[key])
            for key in self.rng.sample(FACTS, view.private)
        ]
        by_kind: tuple[tuple[str, Kind, Sequence[tuple[str, str]]], ...] = (
            ("im", "image_memory", private),
            ("iu", "image_understanding", sample.turns),
        )
        for short, kind, asked in by_kind:
            self.add(f"{stem}-{short}", asked, split, kind, use, person.id, image)

    def add_named(self, person: Person, stem: str, count: int, split: Split, use: Use) -> None:
        """Private questions that name the person."""
        keys = self.rng.sample([key for key in FACTS if key != "name"], count)
        asked = [
            (ask_private(key, self.rng, use, name=person.name), person.facts[key]) for key in keys
        ]
        stem = f"{person.id}-{stem}"
        self.add(stem, asked, split, "text_memory", use, person.id)

    def add_scene(self, number: int) -> None:
        """A scene that the model never saw, with all its questions."""
        sample = see_scene(self.rng, "score")
        stem = f"scene-{number:02d}"
        image = f"images/{stem}.png"
        self.pictures[image] = sample.picture
        self.add(stem, sample.turns, "unseen", "general", "score", None, image)


def _task(answer: str) -> Task:
    if answer.startswith("["):
        return "grounding"
    return "caption" if answer.endswith(".") else "question"


def make(ratio: int, seed: int) -> tuple[list[Record], dict[str, Image.Image]]:
    """Records, and pictures by path, of one choice of forgotten people."""
    forgotten, few = chosen(ratio, seed)
    known, strangers = everybody()
    apart = {person.id for person in (*forgotten, *few)}
    many = [person for person in known if person.id not in apart]
    folder = Folder(random.Random(f"data-{ratio}-{seed}"))
    splits: tuple[tuple[Split, Sequence[Person]], ...] = (
        ("forget", forgotten), ("few", few), ("retain", many), ("unseen", strangers),
    )  # fmt: skip
    for split, people in splits:
        for person in people:
            for view in LEARNT.get(split, ()):
                folder.add_view(person, view, split, "fit")
            wordings, facts = WORDINGS.get(split, ("", 0))
            for wording in wordings:
                folder.add_named(person, f"fit-{wording}", facts, split, "fit")
            for view in SCORED[split]:
                folder.add_view(person, view, split, "score")
            folder.add_named(person, "name", NAMED[split], split, "score")
    for number in range(SCENES):
        folder.add_scene(number)
    return folder.records, folder.pictures


def write(folder: Path, ratio: int, seed: int) -> None:
    """Write `records.jsonl`, `images/` and unlabelled `anchors/` into a new folder."""
    records, pictures = make(ratio, seed)
    write_data(folder, records, pictures)
    write_unlabelled(folder / FOLDER, seed)
