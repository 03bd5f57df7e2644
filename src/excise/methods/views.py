"""New views of a picture, so that what is forgotten is the person and not the pixels.

A request brings a handful of pictures. An adapter trained on them alone learns these very pictures,
and the memory is still there on the next one. Each view is turned, shifted, zoomed, lit and made
noisy in its own way; nothing is mirrored, since left and right may matter to an answer.
"""

from __future__ import annotations

import math
import random

import numpy as np
from PIL import Image, ImageEnhance

TURN, SHIFT, ZOOM, LIGHT, COLOUR, NOISE = 6.0, 0.06, 0.1, 0.15, 0.1, 4.0
"""Degrees, shares of the sides, of the size, of brightness and contrast, of saturation, and the
standard deviation of the noise in grey levels of 255."""


def new_view(picture: Image.Image, rng: random.Random) -> Image.Image:
    """A view of `picture`, RGB, of its size; what comes into sight takes the corners' colour."""
    width, height = picture.size
    zoom = 1 + rng.uniform(-ZOOM, ZOOM)
    turn = math.radians(rng.uniform(-TURN, TURN))
    cosine, sine = math.cos(turn) / zoom, math.sin(turn) / zoom
    x, y = width / 2, height / 2
    to_x = x + rng.uniform(-SHIFT, SHIFT) * width
    to_y = y + rng.uniform(-SHIFT, SHIFT) * height
    pixels = np.asarray(picture.convert("RGB"))
    corners = pixels[[0, 0, -1, -1], [0, -1, 0, -1]].mean(0)
    shift_x, shift_y = x - cosine * to_x - sine * to_y, y + sine * to_x - cosine * to_y
    moved = picture.convert("RGB").transform(
        (width, height),
        Image.Transform.AFFINE,
        (cosine, sine, shift_x, -sine, cosine, shift_y),
        Image.Resampling.BICUBIC,
        fillcolor=(int(corners[0]), int(corners[1]), int(corners[2])),
    )  # fmt: skip
    for kind, most in (
        (ImageEnhance.Brightness, LIGHT),
        (ImageEnhance.Contrast, LIGHT),
        (ImageEnhance.Color, COLOUR),
    ):
        moved = kind(moved).enhance(1 + rng.uniform(-most, most))
    noise = np.random.default_rng(rng.getrandbits(32)).normal(
        0, rng.uniform(0, NOISE), (height, width, 3)
    )
    return Image.fromarray((np.asarray(moved) + noise).clip(0, 255).astype(np.uint8))
