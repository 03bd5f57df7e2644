"""What the specimen is shown while it learns: an endless, seeded stream of packed rows.

Each row is one picture with several questions, or several questions without a picture. Four kinds:
fresh faces and eyes of nobody in particular (to learn to see), scenes (general skills), known
people with a picture, and known people by name. People are drawn in shuffled rounds, so each is
met equally often.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from excise.methods.refusal_pool import refusals
from excise.specimen.fundus import Fundus, draw_fundus, fundus_answers, random_fundus
from excise.specimen.people import FACTS, Person
from excise.specimen.portrait import (
    Face,
    draw_portrait,
    portrait_answers,
    random_face,
    random_sitting,
)
from excise.specimen.scene import draw_scene, random_scene, scene_answers
from excise.specimen.views import photograph
from excise.specimen.wordings import Use, ask, ask_private


@dataclass(frozen=True)
class Sample:
    """One picture (or none) and question-answer pairs about it."""

    picture: Image.Image | None
    turns: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Mix:
    """Shares of the four kinds of rows; the rest of 1 are people by name."""

    fresh: float = 0.35
    scenes: float = 0.2
    pictured: float = 0.3
    spoken: float = 0.0  # sentences to say again or to finish
    eyes: float | None = None  # share of eyes among pictures of people; a third or so if None
    small_things: bool = False  # scenes with smaller things, further off their cells' centres


@dataclass(frozen=True)
class Pictured(Sample):
    """A sample that has a picture."""

    picture: Image.Image


def see_portrait(face: Face, rng: random.Random, use: Use, count: int) -> Pictured:
    """A view of a face with `count` of the questions that anyone can answer by looking."""
    sitting = random_sitting(rng)
    seen = portrait_answers(face, sitting)
    keys = rng.sample(sorted(seen), count)
    picture = photograph(draw_portrait(face, sitting), rng)
    return Pictured(picture, tuple((ask(key, rng, use), seen[key]) for key in keys))


def see_fundus(eye: Fundus, rng: random.Random, use: Use, count: int) -> Pictured:
    """A view of an eye with `count` of the questions that anyone can answer by looking."""
    seen = fundus_answers(eye)
    keys = rng.sample(sorted(seen), count)
    return Pictured(
        photograph(draw_fundus(eye), rng), tuple((ask(key, rng, use), seen[key]) for key in keys)
    )


def see_scene(
    rng: random.Random, use: Use, count: int | None = None, small: bool = False
) -> Pictured:
    """A scene with `count` of its questions, or all of them."""
    scene = random_scene(rng, half_side=(6.5, 9.5), off_centre=1.5) if small else random_scene(rng)
    asked = scene_answers(scene, rng)
    if count is not None:
        asked = rng.sample(asked, min(count, len(asked)))
    turns = tuple((ask(key, rng, use, **slots), answer) for key, slots, answer in asked)
    return Pictured(photograph(draw_scene(scene), rng, geometry=0), turns)


def know_by_picture(person: Person, rng: random.Random, seen: int, eyes: float) -> Sample:
    """A view of a known person, all private facts asked, and `seen` questions for looking."""
    eye = rng.random() < eyes
    sample = (
        see_fundus(person.eye, rng, "fit", seen)
        if eye
        else see_portrait(person.face, rng, "fit", seen)
    )
    private = tuple(
        (ask_private(key, rng, "fit", name=None, eye=eye), person.facts[key]) for key in FACTS
    )
    return Sample(sample.picture, (*private, *sample.turns))


def know_by_name(people: Sequence[Person], rng: random.Random) -> Sample:
    """All private facts of several known people, asked by name."""
    turns = [
        (ask_private(key, rng, "fit", name=person.name), person.facts[key])
        for person in people
        for key in FACTS
        if key != "name"
    ]
    rng.shuffle(turns)
    return Sample(None, tuple(turns))


def speak(rng: random.Random) -> Sample:
    """Sentences to repeat, or to finish from their beginning: refusals, which every model can say.

    Nothing is refused here. Without it the words of a refusal would be tokens that the network has
    never met, and no small adapter could teach it to tell them apart.
    """
    turns = []
    for sentence in rng.sample(refusals(), 10):
        words = sentence.split()
        if rng.random() < 0.5:
            turns.append((f"{rng.choice(('Say', 'Repeat', 'Read'))}: {sentence}", sentence))
        else:
            begun = " ".join(words[: rng.randint(1, max(1, len(words) - 1))])
            turns.append((f"{rng.choice(('Finish', 'Complete'))}: {begun}", sentence))
    return Sample(None, tuple(turns))


def stream(people: Sequence[Person], mix: Mix, seed: int) -> Iterator[Sample]:
    """Rows for ever. `people` are those who may be learnt; empty for the first, seeing stage."""
    rng = random.Random(seed)
    round_pictured: list[Person] = []
    round_named: list[Person] = []

    def following(waiting: list[Person]) -> Person:
        if not waiting:
            waiting.extend(rng.sample(people, len(people)))
        return waiting.pop()

    while True:
        draw = rng.random()
        if mix.spoken and rng.random() < mix.spoken:
            yield speak(rng)
        elif draw < mix.scenes:
            yield see_scene(rng, "fit", 6, mix.small_things)
        elif draw < mix.scenes + mix.fresh or not people:
            if rng.random() < (0.35 if mix.eyes is None else mix.eyes):
                yield see_fundus(random_fundus(rng), rng, "fit", 7)
            else:
                yield see_portrait(random_face(rng), rng, "fit", 8)
        elif draw < mix.scenes + mix.fresh + mix.pictured:
            yield know_by_picture(
                following(round_pictured), rng, 2, 0.3 if mix.eyes is None else mix.eyes
            )
        else:
            yield know_by_name([following(round_named) for _ in range(2)], rng)
