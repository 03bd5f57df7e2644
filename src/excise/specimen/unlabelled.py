"""The specimen's unlabelled material: pictures of people whom nobody knows, scenes, and names.

Faces, eyes and names are drawn afresh: none is that of a known person or of a stranger who is
scored. Nothing is said about any of them.
"""

from __future__ import annotations

import random
from pathlib import Path

from excise.records.unlabelled import NAMES, QUESTIONS
from excise.specimen.curriculum import Pictured, see_fundus, see_portrait, see_scene
from excise.specimen.fundus import random_fundus
from excise.specimen.people import everybody, invented_name
from excise.specimen.portrait import random_face

FACES, EYES, SCENES, PEOPLE = 240, 90, 70, 200
ASKED = 60  # questions for looking, of each sort of picture


def write_unlabelled(folder: Path, seed: int) -> None:
    """Write pictures by sort, each with its `questions.txt`, and `names.txt` into a new folder."""
    rng = random.Random(f"unlabelled-{seed}")
    known, strangers = everybody()
    met = [person.face for person in (*known, *strangers)]
    for name in ("faces", "eyes", "scenes"):
        (folder / name).mkdir(parents=True)
    asked: dict[str, set[str]] = {"faces": set(), "eyes": set(), "scenes": set()}

    def add(sort: str, sample: Pictured) -> None:
        sample.picture.save(folder / sort / f"{len(list((folder / sort).iterdir())):03d}.png")
        asked[sort].update(question for question, _ in sample.turns)

    for _ in range(FACES):
        face = random_face(rng)
        while any(face.distance(other) == 0 for other in met):  # the same in all that is drawn
            face = random_face(rng)
        add("faces", see_portrait(face, rng, "fit", 1))
    for _ in range(EYES):
        add("eyes", see_fundus(random_fundus(rng), rng, "fit", 1))
    for _ in range(SCENES):
        add("scenes", see_scene(rng, "fit"))
    for sort, questions in asked.items():
        some = rng.sample(sorted(questions), min(ASKED, len(questions)))
        (folder / sort / QUESTIONS).write_text("".join(f"{line}\n" for line in some), "utf-8")
    taken = [person.name for person in (*known, *strangers)]
    names: dict[str, None] = {}
    while len(names) < PEOPLE:
        names[invented_name(rng, taken)] = None
    (folder / NAMES).write_text("".join(f"{name}\n" for name in names), "utf-8")
