"""New views show the same thing in another light, and nothing is mirrored."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image

from excise.methods.views import new_view


def half_and_half() -> Image.Image:
    pixels = np.zeros((40, 60, 3), dtype=np.uint8)
    pixels[:, :30] = (220, 40, 40)
    pixels[:, 30:] = (40, 40, 220)
    return Image.fromarray(pixels)


def test_every_view_is_another_one_of_the_same_size_and_seeded() -> None:
    picture = half_and_half()
    views = [new_view(picture, random.Random(n)) for n in range(20)]
    assert len({view.tobytes() for view in views}) == 20
    assert all(view.size == picture.size and view.mode == "RGB" for view in views)
    assert views[3].tobytes() == new_view(picture, random.Random(3)).tobytes()


def test_left_stays_left_and_colours_stay_what_they_are() -> None:
    for seed in range(20):
        pixels = np.asarray(new_view(half_and_half(), random.Random(seed)), dtype=float)
        left, right = pixels[10:30, 8:20].mean((0, 1)), pixels[10:30, 40:52].mean((0, 1))
        assert left[0] > left[2] + 60 and right[2] > right[0] + 60


def test_a_picture_in_grey_becomes_a_view_in_rgb() -> None:
    assert new_view(Image.new("L", (32, 32), 120), random.Random(0)).mode == "RGB"
