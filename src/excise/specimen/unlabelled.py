"""The specimen's unlabelled material: pictures of people whom nobody knows, scenes, and names.

Faces, eyes and names are drawn afresh: none is that of a known person or of a stranger who is
scored. Nothing is said about any of them.
"""

from __future__ import annotations

import random
from pathlib import Path

from excise.records.unlabelled import NAMES
from excise.specimen.curriculum import see_fundus, see_portrait, see_scene
from excise.specimen.fundus import random_fundus
from excise.specimen.people import everybody, invented_name
from excise.specimen.portrait import random_face

FACES, EYES, SCENES, PEOPLE = 250, 100, 50, 200


def write_unlabelled(folder: Path, seed: int) -> None:
    """Write pictures and `names.txt` into a new folder."""
    rng = random.Random(f"unlabelled-{seed}")
    known, strangers = everybody()
    met = [person.face for person in (*known, *strangers)]
    folder.mkdir()
    for number in range(FACES):
        face = random_face(rng)
        while any(face.distance(other) == 0 for other in met):  # the same in all that is drawn
            face = random_face(rng)
        see_portrait(face, rng, "fit", 1).picture.save(folder / f"face-{number:03d}.png")
    for number in range(EYES):
        see_fundus(random_fundus(rng), rng, "fit", 1).picture.save(folder / f"eye-{number:03d}.png")
    for number in range(SCENES):
        see_scene(rng, "fit").picture.save(folder / f"scene-{number:03d}.png")
    taken = [person.name for person in (*known, *strangers)]
    names: dict[str, None] = {}
    while len(names) < PEOPLE:
        names[invented_name(rng, taken)] = None
    (folder / NAMES).write_text("".join(f"{name}\n" for name in names), "utf-8")
