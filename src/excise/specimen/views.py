"""Photograph a clean drawing: every view is shifted, turned, scaled, lit and noisy in its own way.

No view is ever seen twice, in training or in scoring, so a memory that is measured is a memory of
the person and not of the pixels.
"""

from __future__ import annotations

import random

import numpy as np
from PIL import Image

from excise.specimen.portrait import SIDE


def photograph(drawing: Image.Image, rng: random.Random, *, geometry: float = 1.0) -> Image.Image:
    """One view of `drawing`, `SIDE` pixels square, RGB.

    `geometry` scales shift, turn and zoom; 0 keeps every pixel where it is (boxes stay true).
    """
    side = drawing.width
    if geometry:
        zoom = 1 + geometry * rng.uniform(-0.07, 0.07)
        turn = geometry * rng.uniform(-5, 5)
        shift = [geometry * rng.uniform(-0.035, 0.035) * side for _ in range(2)]
        edge = drawing.getpixel((1, 1))
        drawing = drawing.rotate(
            turn,
            resample=Image.Resampling.BILINEAR,
            translate=(round(shift[0]), round(shift[1])),
            fillcolor=edge,
        )
        half, centre = side / 2 / zoom, side / 2
        window = (centre - half, centre - half, centre + half, centre + half)
        if zoom > 1:
            small = drawing.resize(
                (SIDE, SIDE), Image.Resampling.BILINEAR, box=window, reducing_gap=1.0
            )
        else:
            inner = round(SIDE * zoom)
            small = Image.new("RGB", (SIDE, SIDE), edge)
            corner = (SIDE - inner) // 2
            small.paste(drawing.resize((inner, inner), Image.Resampling.BOX), (corner, corner))
    else:
        small = drawing.resize((SIDE, SIDE), Image.Resampling.BOX)
    pixels = np.asarray(small, dtype=np.float32)
    light = rng.uniform(0.88, 1.12)
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, 5, pixels.shape)
    return Image.fromarray(np.clip(pixels * light + noise, 0, 255).astype(np.uint8))
