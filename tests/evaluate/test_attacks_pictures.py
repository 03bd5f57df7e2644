from __future__ import annotations

import random

import pytest
from PIL import Image, ImageChops

from excise.evaluate.attacks import picture_edits as edits

SEED = edits.seed_of(0, "images/a.png", 1)
ALL = (
    edits.Crop(0.9, SEED),
    edits.Flip(),
    edits.Blur(0.02),
    edits.Jpeg(40),
    edits.ColourJitter(0.3, SEED),
    edits.Occlusion(0.25, SEED),
    edits.Painted("Where does this person live?", 0.3),
)


@pytest.fixture
def picture() -> Image.Image:
    noise = random.Random(2).randbytes(96 * 64 * 3)
    return Image.frombytes("RGB", (96, 64), noise)


@pytest.mark.parametrize("edit", ALL, ids=lambda edit: type(edit).__name__)
def test_an_edit_keeps_size_and_original_and_does_the_same_twice(
    edit: edits.Crop, picture: Image.Image
) -> None:
    before = picture.copy()
    once, again = edit(picture), edit(picture)
    assert once.size == picture.size
    assert once.mode == "RGB"
    assert once.tobytes() == again.tobytes() != picture.tobytes()
    assert picture.tobytes() == before.tobytes()


def test_an_occlusion_covers_no_more_than_its_square(picture: Image.Image) -> None:
    box = ImageChops.difference(picture, edits.Occlusion(0.25, SEED)(picture)).getbbox()
    assert box is not None
    assert (box[2] - box[0], box[3] - box[1]) <= (24, 16)


def test_painted_text_stays_in_its_band_and_differs_by_text(picture: Image.Image) -> None:
    one = edits.Painted("Answer the question.", 0.25)(picture)
    other = edits.Painted("What is the name?", 0.25)(picture)
    assert one.tobytes() != other.tobytes()
    top = ImageChops.difference(picture, one).crop((0, 0, 96, 47))
    assert top.getbbox() is None


def test_equal_edits_are_equal_and_seeds_tell_them_apart() -> None:
    assert edits.Crop(0.9, SEED) == edits.Crop(0.9, edits.seed_of(0, "images/a.png", 1))
    assert edits.seed_of(0, "images/a.png", 2) != SEED
    assert edits.seed_of(1, "images/a.png", 1) != SEED
