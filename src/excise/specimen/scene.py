"""Draw scenes of coloured shapes for the general skills: questions, captions, grounding.

One to four shapes of different colours lie on a 3 x 3 grid, each a little off its cell's centre and
of its own size, so that a box has to be read off the picture.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

from excise.specimen.portrait import _SCALE, SIDE

COLOURS = {
    "red": (220, 30, 40),
    "blue": (30, 70, 220),
    "green": (30, 160, 60),
    "yellow": (250, 214, 30),
    "purple": (146, 50, 190),
    "black": (24, 24, 24),
}
SHAPES = ("circle", "square", "triangle", "cross")
PLACES = (
    "top left", "top", "top right",
    "left", "middle", "right",
    "bottom left", "bottom", "bottom right",
)  # fmt: skip


@dataclass(frozen=True)
class Thing:
    """One shape: where its cell is and the box that it fills, in pixels of a `SIDE` picture."""

    shape: str
    colour: str
    place: str
    box: tuple[float, float, float, float]

    def __str__(self) -> str:
        return f"{self.colour} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """Things in reading order on a plain ground."""

    things: tuple[Thing, ...]
    ground: tuple[int, int, int]


def random_scene(
    rng: random.Random, *, half_side: tuple[float, float] = (7.5, 10.0), off_centre: float = 1.0
) -> Scene:
    """One to four things in different cells and of different colours.

    `half_side` bounds half a thing's side and `off_centre` how far it lies from its cell's centre,
    both in pixels of a `SIDE` picture.
    """
    count = rng.randint(1, 4)
    cells = sorted(rng.sample(range(9), count))
    colours = rng.sample(tuple(COLOURS), count)
    things = []
    for cell, colour in zip(cells, colours, strict=True):
        half = rng.uniform(*half_side)
        x = 11 + 21 * (cell % 3) + rng.uniform(-off_centre, off_centre)
        y = 11 + 21 * (cell // 3) + rng.uniform(-off_centre, off_centre)
        box = (x - half, y - half, x + half, y + half)
        things.append(Thing(rng.choice(SHAPES), colour, PLACES[cell], box))
    tone = rng.randint(215, 250)
    return Scene(tuple(things), (tone, tone, tone))


def draw_scene(scene: Scene) -> Image.Image:
    """The clean picture, `SIDE * 2` pixels square, RGB."""
    s = _SCALE
    image = Image.new("RGB", (SIDE * s, SIDE * s), scene.ground)
    pen = ImageDraw.Draw(image)
    for thing in scene.things:
        x0, y0, x1, y1 = (v * s for v in thing.box)
        colour = COLOURS[thing.colour]
        if thing.shape == "circle":
            pen.ellipse((x0, y0, x1, y1), fill=colour)
        elif thing.shape == "square":
            pen.rectangle((x0, y0, x1, y1), fill=colour)
        elif thing.shape == "triangle":
            pen.polygon([((x0 + x1) / 2, y0), (x1, y1), (x0, y1)], fill=colour)
        else:
            third = (x1 - x0) / 3
            pen.rectangle((x0 + third, y0, x1 - third, y1), fill=colour)
            pen.rectangle((x0, y0 + third, x1, y1 - third), fill=colour)
    return image


def box_text(box: tuple[float, float, float, float]) -> str:
    """A box as text, `[x1, y1, x2, y2]` in hundredths of the picture's side, 0 to 99."""
    return "[" + ", ".join(str(min(99, max(0, round(100 * v / SIDE)))) for v in box) + "]"


def caption(scene: Scene) -> str:
    """One sentence that names every thing and its place, in reading order."""
    parts = [f"a {thing} at the {thing.place}" for thing in scene.things]
    text = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
    return text[0].upper() + text[1:] + "."


def scene_answers(scene: Scene, rng: random.Random) -> list[tuple[str, dict[str, str], str]]:
    """Questions about a scene as `(key, slots, answer)`; keys are those of `wordings.py`."""
    asked: list[tuple[str, dict[str, str], str]] = [("count", {}, str(len(scene.things)))]
    shape = rng.choice(SHAPES)
    asked.append(
        ("count_shape", {"shape": shape}, str(sum(t.shape == shape for t in scene.things)))
    )
    thing = rng.choice(scene.things)
    asked.append(("shape_of", {"colour": thing.colour}, thing.shape.capitalize()))
    asked.append(("place_of", {"thing": str(rng.choice(scene.things))}, ""))
    place_thing = next(t for t in scene.things if str(t) == asked[-1][1]["thing"])
    asked[-1] = (*asked[-1][:2], place_thing.place.capitalize())
    if rng.random() < 0.7:
        there = rng.choice(scene.things)
        asked.append(("what_at", {"place": there.place}, str(there).capitalize()))
    else:
        empty = rng.choice([p for p in PLACES if all(t.place != p for t in scene.things)])
        asked.append(("what_at", {"place": empty}, "Nothing"))
    colour = thing.colour if rng.random() < 0.5 else rng.choice(tuple(COLOURS))
    present = any(t.colour == colour for t in scene.things)
    asked.append(("is_there", {"colour": colour}, "Yes" if present else "No"))
    asked.append(("caption", {}, caption(scene)))
    for target in rng.sample(scene.things, min(2, len(scene.things))):
        asked.append(("box", {"thing": str(target)}, box_text(target.box)))
    return asked
