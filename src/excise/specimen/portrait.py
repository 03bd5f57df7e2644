"""Draw portraits of fictitious people and say what can be seen on them.

A face is a handful of discrete traits that a small vision tower can tell apart at 64 pixels, plus a
little continuous geometry of its own. Traits of the person (`Face`) stay from picture to picture;
clothes, background and expression (`Scene` of the sitting) change with every picture, so knowing
*who* it is never answers what the shirt looks like. Drawn at twice the size and reduced: about 1 ms
a picture.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, fields

from PIL import Image, ImageDraw

SIDE = 64  # pixels
_SCALE = 2

SKIN = {
    "pale": (250, 220, 198),
    "tan": (222, 172, 126),
    "brown": (160, 106, 68),
    "dark": (94, 60, 42),
}
HAIR = {
    "black": (22, 20, 24),
    "brown": (112, 66, 28),
    "blond": (240, 208, 92),
    "red": (204, 62, 24),
    "grey": (158, 160, 166),
    "purple": (142, 52, 176),
}
EYES = {"blue": (36, 104, 236), "green": (24, 164, 72), "brown": (104, 56, 16)}
CLOTH = {
    "red": (206, 32, 40),
    "blue": (32, 64, 200),
    "green": (24, 140, 60),
    "yellow": (244, 212, 36),
    "white": (246, 246, 246),
    "black": (20, 20, 20),
}
BACKDROP = {
    "pink": (252, 188, 208),
    "green": (156, 220, 150),
    "blue": (146, 196, 250),
    "yellow": (252, 240, 150),
    "grey": (146, 146, 146),
    "white": (252, 252, 252),
}
TRAITS: dict[str, tuple[str, ...]] = {
    "skin": tuple(SKIN),
    "hair_colour": tuple(HAIR),
    "hair_style": ("short", "long", "curly", "spiky", "bun"),
    "eyes": tuple(EYES),
    "glasses": ("none", "round", "square"),
    "beard": ("none", "beard", "moustache"),
    "mole": ("none", "left", "right"),
    "face": ("round", "long", "square"),
    "earrings": ("no", "yes"),
}


@dataclass(frozen=True)
class Face:
    """What stays the same on every portrait of one person."""

    skin: str
    hair_colour: str
    hair_style: str
    eyes: str
    glasses: str
    beard: str
    mole: str
    face: str
    earrings: str
    eye_gap: float = 0.0  # all three: -1 to 1, about the mean face
    width: float = 0.0
    mouth: float = 0.0

    def distance(self, other: Face) -> int:
        """Number of discrete traits in which two faces differ, 0 to 9."""
        return sum(getattr(self, trait) != getattr(other, trait) for trait in TRAITS)


@dataclass(frozen=True)
class Sitting:
    """What changes from one portrait of a person to the next."""

    shirt: str
    backdrop: str
    expression: str


def random_face(rng: random.Random) -> Face:
    """A face with every trait drawn independently."""
    return Face(
        **{trait: rng.choice(values) for trait, values in TRAITS.items()},
        eye_gap=rng.uniform(-1, 1),
        width=rng.uniform(-1, 1),
        mouth=rng.uniform(-1, 1),
    )


def random_sitting(rng: random.Random) -> Sitting:
    """Clothes, background and expression of one picture."""
    return Sitting(
        rng.choice(tuple(CLOTH)), rng.choice(tuple(BACKDROP)), rng.choice(("smiling", "serious"))
    )


def draw_portrait(face: Face, sitting: Sitting) -> Image.Image:
    """The clean picture, `SIDE * 2` pixels square, RGB; `views.photograph` makes a view of it."""
    s = _SCALE
    image = Image.new("RGB", (SIDE * s, SIDE * s), BACKDROP[sitting.backdrop])
    pen = ImageDraw.Draw(image)
    skin, hair = SKIN[face.skin], HAIR[face.hair_colour]

    def box(x: float, y: float, rx: float, ry: float) -> tuple[float, float, float, float]:
        return ((x - rx) * s, (y - ry) * s, (x + rx) * s, (y + ry) * s)

    rx, ry = {"round": (15.5, 16.5), "long": (12.5, 19.0), "square": (14.5, 17.0)}[face.face]
    rx += face.width
    cx, cy = 32.0, 31.0
    if face.hair_style == "long":
        pen.rounded_rectangle(box(cx, cy + 6, rx + 6, 24), radius=12 * s, fill=hair)
    pen.rounded_rectangle(box(cx, 66, 23, 14), radius=9 * s, fill=CLOTH[sitting.shirt])
    pen.rectangle(box(cx, 49, 5, 6), fill=tuple(int(c * 0.88) for c in skin))
    if face.hair_style == "curly":
        for i in range(9):
            x, y = cx - 18 + 4.5 * i, cy - 8 - 9 * (1 - ((i - 4) / 4) ** 2)
            pen.ellipse(box(x, y, 6, 6), fill=hair)
            pen.ellipse(
                box(cx - 18 if i < 5 else cx + 18, cy - 6 + 3 * (i % 5), 4.5, 4.5), fill=hair
            )
    elif face.hair_style == "spiky":
        for i in range(7):
            x = cx - 18 + 6 * i
            tip = cy - 30 + 1.2 * abs(i - 3) ** 1.5
            pen.polygon(
                [((x - 5) * s, (cy - 6) * s), (x * s, tip * s), ((x + 5) * s, (cy - 6) * s)],
                fill=hair,
            )
    else:
        pen.ellipse(box(cx, cy - 3, rx + 3, ry + 2), fill=hair)
    if face.hair_style == "bun":
        pen.ellipse(box(cx, cy - ry - 7, 8, 7), fill=hair)
    if face.face == "square":
        pen.rounded_rectangle(box(cx, cy + 2, rx, ry - 1), radius=5 * s, fill=skin)
    else:
        pen.ellipse(box(cx, cy + 2, rx, ry), fill=skin)
    pen.chord(box(cx, cy - 6, rx - 0.5, 11), 180, 360, fill=hair)
    if face.earrings == "yes":
        for side in (-1, 1):
            pen.ellipse(
                box(cx + side * (rx + 1), cy + 10, 2.6, 2.6),
                fill=(255, 214, 10),
                outline=(150, 110, 0),
            )
    gap = 7.0 + face.eye_gap
    for side in (-1, 1):
        x, y = cx + side * gap, cy
        pen.ellipse(box(x, y, 4.6, 3.6), fill=(255, 255, 255))
        pen.ellipse(box(x, y, 3.1, 3.1), fill=EYES[face.eyes])
        pen.ellipse(box(x, y, 1.0, 1.0), fill=(0, 0, 0))
        if face.glasses == "round":
            pen.ellipse(box(x, y, 6.6, 6.6), outline=(0, 0, 0), width=2 * s)
        elif face.glasses == "square":
            pen.rectangle(box(x, y, 6.6, 5.4), outline=(0, 0, 0), width=2 * s)
    pen.line(
        [(cx * s, (cy + 4) * s), ((cx - 1.5) * s, (cy + 8) * s), ((cx + 1) * s, (cy + 8) * s)],
        fill=tuple(int(c * 0.7) for c in skin),
        width=s,
    )
    mouth_y, half = cy + 12.5, 5.5 + face.mouth
    if face.beard == "beard":
        pen.chord(box(cx, cy + 9, rx - 1, ry - 6), 0, 180, fill=hair)
    elif face.beard == "moustache":
        pen.ellipse(box(cx - 3.6, mouth_y - 3, 4.6, 1.9), fill=hair)
        pen.ellipse(box(cx + 3.6, mouth_y - 3, 4.6, 1.9), fill=hair)
    if sitting.expression == "smiling":
        pen.chord(
            box(cx, mouth_y - 1.5, half, 4.6),
            0,
            180,
            fill=(255, 255, 255),
            outline=(150, 20, 40),
            width=s,
        )
    else:
        pen.rectangle(box(cx, mouth_y, half, 1.1), fill=(150, 20, 40))
    if face.mole != "none":
        side = -1 if face.mole == "left" else 1
        pen.ellipse(box(cx + side * 9.5, cy + 8.5, 1.8, 1.8), fill=(30, 10, 6))
    return image


def portrait_answers(face: Face, sitting: Sitting) -> dict[str, str]:
    """What anybody sees on the portrait: question key (see `wordings.py`) to answer."""
    return {
        "hair_colour": face.hair_colour.capitalize(),
        "hair_style": face.hair_style.capitalize(),
        "skin": face.skin.capitalize(),
        "eyes": face.eyes.capitalize(),
        "glasses": face.glasses.capitalize(),
        "beard": face.beard.capitalize(),
        "earrings": face.earrings.capitalize(),
        "shirt": sitting.shirt.capitalize(),
        "backdrop": sitting.backdrop.capitalize(),
        "expression": sitting.expression.capitalize(),
    }


assert set(TRAITS) <= {field.name for field in fields(Face)}
