"""Control people: whom a model cannot know, and who are asked about all the same.

By name they are invented names (`methods/names.txt`). Pictures had best be given: a folder of other
people of the same kind, of whom the model has seen none. Where there is none, faces are drawn that
nobody has. A model of photographs is less sure about a drawing than about a stranger's photograph
that is like somebody it knows, so their control rate is a lower bound, and the probe says so.

Pictures made from the person's own (upside down, in shuffled tiles, hues turned) were tried and are
worse: on the specimen, which firmly takes some strangers for people it knows, they let 58 % of the
answers about strangers pass for known, drawn faces 12 %.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from excise.methods.invented_names import invented
from excise.records.errors import InputError
from excise.records.unlabelled import read_unlabelled
from excise.specimen.portrait import draw_portrait, random_face, random_sitting
from excise.specimen.views import photograph

PEOPLE = 16
"""Control people a door. None of 16 looking as known leaves up to 19 % open (Wilson)."""


@dataclass(frozen=True)
class ControlPictures:
    """One picture a control person, and whether they were given or drawn."""

    pictures: tuple[Image.Image, ...] = field(default=(), repr=False)
    given: bool = False


def control_names(seed: int, taken: Sequence[str]) -> list[str]:
    """Invented names, none of them `taken`."""
    return invented(PEOPLE, random.Random(f"control-names-{seed}"), taken)


def control_pictures(own: Sequence[Image.Image], folder: Path | None, seed: int) -> ControlPictures:
    """At most `PEOPLE` pictures of the folder, or as many drawn faces.

    Pictures that are the person's own are left out.

    Raises:
        InputError: no such folder, no pictures in it but the person's, or one that is broken.
    """
    rng = random.Random(f"control-pictures-{seed}")
    if folder is None:
        return ControlPictures(tuple(_drawn(rng) for _ in range(PEOPLE)))
    found = read_unlabelled(folder, required=True)
    mine = {(picture.size, picture.tobytes()) for picture in own}
    chosen: list[Image.Image] = []
    order = rng.sample(range(len(found.files)), len(found.files))
    for picture in found.pictures(order):
        if (picture.size, picture.tobytes()) not in mine:
            chosen.append(picture)
        if len(chosen) == PEOPLE:
            break
    if not chosen:
        raise InputError(f"{folder}: no pictures of other people, expected some")
    return ControlPictures(tuple(chosen), given=True)


def _drawn(rng: random.Random) -> Image.Image:
    return photograph(draw_portrait(random_face(rng), random_sitting(rng)), rng)
