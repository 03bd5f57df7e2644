"""Control people: whom a model cannot know, and who are asked about all the same.

By name they are invented names (`methods/names.txt`). Pictures had best be given: a folder of other
people of the same kind, of whom the model has seen none. Where there is none, two stand-ins are
made: the person's own pictures with the person taken out of them (mirrored top to bottom, tiles
shuffled, colours turned), which keep the light and the grain, and drawn faces that nobody has.
Neither is a photograph of a stranger. A model is less sure about them than about a real face that
is like one it knows, so their control rate is a lower bound, and the probe says so.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from excise.methods.invented_names import invented
from excise.records.errors import InputError
from excise.records.unlabelled import read_unlabelled

PEOPLE = 16
"""Control people a door. None of 16 looking as known leaves up to 19 % open (Wilson)."""
TILES = 4
"""A picture is cut into so many tiles a side."""


@dataclass(frozen=True)
class ControlPictures:
    """One picture a control person, and whether they were given or made."""

    pictures: tuple[Image.Image, ...] = field(default=(), repr=False)
    given: bool = False


def control_names(seed: int, taken: Sequence[str]) -> list[str]:
    """Invented names, none of them `taken`."""
    return invented(PEOPLE, random.Random(f"control-names-{seed}"), taken)


def control_pictures(own: Sequence[Image.Image], folder: Path | None, seed: int) -> ControlPictures:
    """At most `PEOPLE` pictures of the folder, or as many made ones.

    Pictures that are the person's own are left out.

    Raises:
        InputError: no such folder, no pictures in it but the person's, or one that is broken.
    """
    rng = random.Random(f"control-pictures-{seed}")
    if folder is None:
        return ControlPictures(tuple(_made(own, rng)))
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


def _made(own: Sequence[Image.Image], rng: random.Random) -> list[Image.Image]:
    return [without_the_person(own[number % len(own)], rng) for number in range(PEOPLE)]


def without_the_person(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Of the same size, light and grain, and of nobody: upside down, tiles shuffled, hue turned."""
    pixels = np.asarray(ImageOps.flip(picture).convert("HSV")).copy()
    pixels[..., 0] += np.uint8(rng.randint(40, 216))  # turns round at 256, as hues do
    turned = Image.fromarray(pixels, "HSV").convert("RGB")
    width, height = turned.size
    boxes = [
        (
            x * width // TILES,
            y * height // TILES,
            (x + 1) * width // TILES,
            (y + 1) * height // TILES,
        )
        for y in range(TILES)
        for x in range(TILES)
    ]
    out = Image.new("RGB", turned.size)
    for here, there in zip(boxes, rng.sample(boxes, len(boxes)), strict=True):
        size = (here[2] - here[0], here[3] - here[1])
        out.paste(turned.crop(there).resize(size), here[:2])
    return out
