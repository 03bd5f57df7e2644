"""What is drawn is what the answers say, read off the pixels."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from excise.specimen import portrait
from excise.specimen.curriculum import see_fundus, see_portrait, see_scene
from excise.specimen.fundus import Fundus, draw_fundus, fundus_answers, random_fundus
from excise.specimen.people import everybody
from excise.specimen.portrait import Sitting, draw_portrait, portrait_answers, random_sitting
from excise.specimen.scene import (
    COLOURS,
    PLACES,
    box_text,
    caption,
    draw_scene,
    random_scene,
    scene_answers,
)
from excise.specimen.views import photograph

PEOPLE = everybody()[0]
SEEDS = range(12)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def where(image: Image.Image, colour: tuple[int, int, int]) -> np.ndarray:
    """Which pixels of a clean drawing have exactly this colour."""
    return (pixels(image) == colour).all(axis=2)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_view_is_64_pixels_square_in_rgb_and_unlike_the_last(seed: int) -> None:
    rng, person = random.Random(seed), PEOPLE[seed]
    for see in (
        lambda: see_portrait(person.face, rng, "fit", 3),
        lambda: see_fundus(person.eye, rng, "fit", 3),
        lambda: see_scene(rng, "fit", 3),
    ):
        one, other = see().picture, see().picture
        assert (one.mode, one.size) == (other.mode, other.size) == ("RGB", (64, 64))
        assert one.tobytes() != other.tobytes()
    sitting = random_sitting(rng)
    views = [photograph(draw_portrait(person.face, sitting), rng) for _ in range(4)]
    assert len({view.tobytes() for view in views}) == 4


def test_the_same_generator_gives_the_same_view() -> None:
    def view() -> bytes:
        return see_portrait(PEOPLE[0].face, random.Random(4), "fit", 3).picture.tobytes()

    assert view() == view()


def test_a_view_without_geometry_keeps_every_pixel_in_its_place() -> None:
    drawing = draw_scene(random_scene(random.Random(1)))
    clean = pixels(drawing.resize((64, 64), Image.Resampling.BOX))
    for seed in SEEDS:
        view = pixels(photograph(drawing, random.Random(seed), geometry=0))
        bright = view.mean() / clean.mean()
        assert np.abs(view - np.clip(clean * bright, 0, 255)).mean() < 8


@pytest.mark.parametrize("number", SEEDS)
def test_a_portrait_shows_what_its_answers_say(number: int) -> None:
    face, rng = PEOPLE[number].face, random.Random(number)
    sitting = random_sitting(rng)
    drawing, seen = draw_portrait(face, sitting), portrait_answers(face, sitting)
    side = drawing.width
    assert drawing.getpixel((1, 1)) == portrait.BACKDROP[seen["backdrop"].lower()]
    assert drawing.getpixel((side // 2, side - 2)) == portrait.CLOTH[seen["shirt"].lower()]
    assert where(drawing, portrait.SKIN[seen["skin"].lower()]).sum() > 300
    assert where(drawing, portrait.HAIR[seen["hair_colour"].lower()]).sum() > 100
    assert where(drawing, portrait.EYES[seen["eyes"].lower()]).sum() >= 20
    others = [c for name, c in portrait.EYES.items() if name != seen["eyes"].lower()]
    assert not any(where(drawing, colour).any() for colour in others)
    assert where(drawing, (255, 214, 10)).any() == (seen["earrings"] == "Yes")


@pytest.mark.parametrize("trait", ["glasses", "beard", "hair_style", "expression", "mole"])
def test_every_value_of_a_trait_is_drawn_in_its_own_way(trait: str) -> None:
    face = PEOPLE[0].face
    shown = set()
    values = portrait.TRAITS.get(trait, ("smiling", "serious"))
    for value in values:
        sitting = Sitting("red", "blue", value if trait == "expression" else "serious")
        changed = face if trait == "expression" else face.__class__(**{**vars(face), trait: value})
        shown.add(draw_portrait(changed, sitting).tobytes())
    assert len(shown) == len(values)


@pytest.mark.parametrize("seed", range(40))
def test_an_eye_shows_as_many_spots_as_its_answers_say(seed: int) -> None:
    eye = random_fundus(random.Random(seed))
    drawing, seen = draw_fundus(eye), fundus_answers(eye)
    for key, colour in (("bright", (255, 255, 255)), ("dark", (30, 0, 10))):
        _, spots = ndimage.label(where(drawing, colour))
        assert spots == int(seen[key]), key
    assert where(drawing, (20, 60, 130)).any() == (seen["ring"] == "Yes")


def test_every_eye_can_be_drawn() -> None:
    """Spots keep off disc and ring; there must be room for six of them wherever the disc lies."""
    for side in ("left", "right"):
        for height in ("upper", "middle", "lower"):
            for size in ("small", "large"):
                for seed in range(5):
                    draw_fundus(Fundus("red", side, height, size, "3", "3", "yes", seed))


def test_the_disc_lies_where_the_answers_say() -> None:
    sizes: dict[str, list[int]] = {"Small": [], "Large": []}
    for seed in range(40):
        eye = random_fundus(random.Random(seed))
        seen, disc = fundus_answers(eye), where(draw_fundus(eye), (255, 246, 206))
        y, x = (axis.mean() / 2 for axis in disc.nonzero())
        assert seen["disc_side"] == ("Left" if x < 32 else "Right")
        assert seen["disc_height"] == ("Upper" if y < 27 else "Lower" if y > 37 else "Middle")
        sizes[seen["disc_size"]].append(int(disc.sum()))
    assert max(sizes["Small"]) < min(sizes["Large"])


def extent(image: Image.Image, colour: str) -> list[float]:
    """The box of a colour's pixels in hundredths of the picture's side."""
    y, x = where(image, COLOURS[colour]).nonzero()
    return [float(100 * v / image.width) for v in (x.min(), y.min(), x.max() + 1, y.max() + 1)]


@pytest.mark.parametrize("seed", range(30))
def test_a_scene_shows_what_its_answers_say(seed: int) -> None:
    rng = random.Random(seed)
    scene = random_scene(rng)
    drawing = draw_scene(scene)
    drawn = [colour for colour, rgb in COLOURS.items() if where(drawing, rgb).any()]
    things = {thing.colour: thing for thing in scene.things}
    assert sorted(things) == sorted(drawn)  # no two things have one colour
    for key, slots, answer in scene_answers(scene, rng):
        if key == "count":
            assert int(answer) == len(drawn)
        elif key == "count_shape":
            assert int(answer) == sum(t.shape == slots["shape"] for t in things.values())
        elif key == "shape_of":
            assert answer == things[slots["colour"]].shape.capitalize()
        elif key == "is_there":
            assert answer == ("Yes" if slots["colour"] in drawn else "No")
        elif key == "place_of":
            left, top, right, bottom = extent(drawing, slots["thing"].split()[0])
            cell = 3 * int((top + bottom) / 2 // 33.4) + int((left + right) / 2 // 33.4)
            assert answer.lower() == PLACES[cell]
        elif key == "what_at":
            there = [str(t).capitalize() for t in scene.things if t.place == slots["place"]]
            assert [answer] == (there or ["Nothing"])
        elif key == "box":
            box = [int(v) for v in answer.strip("[]").split(",")]
            assert np.abs(np.subtract(box, extent(drawing, slots["thing"].split()[0]))).max() <= 2
        else:
            assert key == "caption" and answer == caption(scene)
            assert all(f"{t} at the {t.place}" in answer for t in scene.things)


def test_shapes_are_told_apart_by_how_much_of_their_box_they_fill() -> None:
    fill: dict[str, list[float]] = {}
    for seed in range(40):
        scene = random_scene(random.Random(seed))
        drawing = draw_scene(scene)
        for thing in scene.things:
            here = where(drawing, COLOURS[thing.colour])
            y, x = here.nonzero()
            area = (np.ptp(x) + 1) * (np.ptp(y) + 1)
            fill.setdefault(thing.shape, []).append(float(here.sum() / area))
    assert min(fill["square"]) == 1.0
    assert min(fill["circle"]) > 0.72 and max(fill["circle"]) < 0.85  # pi / 4
    assert min(fill["triangle"]) > 0.45 and max(fill["triangle"]) < 0.60  # 1 / 2
    assert min(fill["cross"]) > 0.50 and max(fill["cross"]) < 0.65  # 5 / 9


def test_a_box_is_text_on_a_scale_from_0_to_99() -> None:
    assert box_text((0, 6.4, 32, 64)) == "[0, 10, 50, 99]"
