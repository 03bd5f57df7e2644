"""Draw eye-fundus pictures, the second visual domain, and say what can be seen on them.

As a portrait, a fundus belongs to one person: tint, optic disc, vessels and spots stay from picture
to picture and identify the eye; only the photograph (see `views.py`) changes.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

from excise.specimen.portrait import _SCALE, SIDE

TINT = {
    "orange": (224, 120, 40),
    "red": (190, 44, 34),
    "brown": (128, 74, 40),
    "yellow": (226, 190, 76),
}
MARKS: dict[str, tuple[str, ...]] = {
    "tint": tuple(TINT),
    "disc_side": ("left", "right"),
    "disc_height": ("upper", "middle", "lower"),
    "disc_size": ("small", "large"),
    "bright": ("0", "1", "2", "3"),
    "dark": ("0", "1", "2", "3"),
    "ring": ("no", "yes"),
}
# Where spots may lie, away from both discs: (angle in turns, radius in pixels).
_SPOT_PLACES = tuple((i / 8, 17.0) for i in range(8))


@dataclass(frozen=True)
class Fundus:
    """What stays the same on every fundus picture of one person."""

    tint: str
    disc_side: str
    disc_height: str
    disc_size: str
    bright: str
    dark: str
    ring: str
    seed: int = 0  # vessels and the places of spots

    def distance(self, other: Fundus) -> int:
        """Number of discrete marks in which two eyes differ, 0 to 7."""
        return sum(getattr(self, mark) != getattr(other, mark) for mark in MARKS)


def random_fundus(rng: random.Random) -> Fundus:
    """An eye with every mark drawn independently."""
    return Fundus(
        **{mark: rng.choice(values) for mark, values in MARKS.items()}, seed=rng.randrange(2**31)
    )


def draw_fundus(eye: Fundus) -> Image.Image:
    """The clean picture, `SIDE * 2` pixels square, RGB."""
    s, rng = _SCALE, random.Random(eye.seed)
    image = Image.new("RGB", (SIDE * s, SIDE * s), (8, 4, 4))
    pen = ImageDraw.Draw(image)
    tint = TINT[eye.tint]

    def box(x: float, y: float, r: float) -> tuple[float, float, float, float]:
        return ((x - r) * s, (y - r) * s, (x + r) * s, (y + r) * s)

    pen.ellipse(box(32, 32, 29), fill=tint)
    side = -1 if eye.disc_side == "left" else 1
    dx = 32 + side * 15
    dy = 32 + {"upper": -10, "middle": 0, "lower": 10}[eye.disc_height]
    vessel = tuple(int(c * 0.45) for c in tint)
    for up in (-1, 1):
        for _ in range(2):
            angle = math.pi / 2 + rng.uniform(0.1, 1.1)
            bend = rng.uniform(-0.025, 0.025)
            x, y = float(dx), float(dy)
            points: list[tuple[float, float]] = [(dx * s, dy * s)]
            for _ in range(22):
                x += side * 2 * math.cos(angle)
                y += up * 2 * math.sin(angle)
                angle += bend + 0.02
                if (x - 32) ** 2 + (y - 32) ** 2 > 27**2:
                    break
                points.append((x * s, y * s))
            if len(points) > 1:
                pen.line(points, fill=vessel, width=2 * s - 1)
    if eye.ring == "yes":
        pen.ellipse(box(32 - side * 7, 32, 6.5), outline=(20, 60, 130), width=2 * s - 1)
    radius = 4.5 if eye.disc_size == "small" else 8.0
    pen.ellipse(box(dx, dy, radius), fill=(255, 246, 206), outline=(250, 220, 140), width=s)
    # Spots keep off the disc and the ring, so that each can be counted.
    free = []
    for turn, r in _SPOT_PLACES:
        x, y = 32 + r * math.cos(2 * math.pi * turn), 32 + r * math.sin(2 * math.pi * turn) * 1.25
        if math.hypot(x - dx, y - dy) > radius + 4.5:
            free.append((x, y))
    rng.shuffle(free)
    for i in range(int(eye.bright)):
        pen.ellipse(box(*free[i], 2.8), fill=(255, 255, 255), outline=(255, 255, 120))
    for i in range(int(eye.dark)):
        pen.ellipse(box(*free[int(eye.bright) + i], 2.8), fill=(30, 0, 10))
    return image


def fundus_answers(eye: Fundus) -> dict[str, str]:
    """What anybody sees on the picture: question key (see `wordings.py`) to answer."""
    return {
        "tint": eye.tint.capitalize(),
        "disc_side": eye.disc_side.capitalize(),
        "disc_height": eye.disc_height.capitalize(),
        "disc_size": eye.disc_size.capitalize(),
        "bright": eye.bright,
        "dark": eye.dark,
        "ring": eye.ring.capitalize(),
    }
