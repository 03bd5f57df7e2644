"""Asking a model the battery about many people at once: the one in question, and the controls.

Each person is a name, pictures, or both. A picture is asked every wording as it is and lightly
changed (cropped, lit), since what is known is the person and not the pixels. All answers come
greedily, then the probabilities of the commonest ones from one teacher-forced pass. Control people
have the wordings spread over the views, which costs no more than one view. About 7 ms an ask on the
specimen and one thread of a busy machine.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from PIL import Image, ImageEnhance

from excise.erasure.battery import Question
from excise.erasure.guesses import Heard, commonest, content, says
from excise.evaluate.evaluate import ask
from excise.evaluate.probability import answer_probability
from excise.evaluate.refusal import is_refusal
from excise.records.data import Data
from excise.records.record import Record

if TYPE_CHECKING:
    from excise.vlm.load import VLM

Door = Literal["picture", "name"]
CHUNK = 512
CROP, LIGHT = 0.05, 0.1
"""Shares of the sides and of the brightness. Nothing is mirrored or turned: a face that a model
knows must stay one that it knows."""


@dataclass(frozen=True)
class Asked:
    """One person as they are asked about."""

    pictures: tuple[Image.Image, ...] = field(default=(), repr=False)
    name: str | None = None
    spread: bool = False
    """Each wording on one of the pictures in turn, in place of every wording on each."""


def with_views(pictures: Sequence[Image.Image], count: int, seed: str) -> tuple[Image.Image, ...]:
    """The pictures, and `count` views of each: up to `CROP` off each side, and other light."""
    rng = random.Random(seed)
    return (*pictures, *(_view(picture, rng) for picture in pictures for _ in range(count)))


def _view(picture: Image.Image, rng: random.Random) -> Image.Image:
    width, height = picture.size
    left, top, right, bottom = (rng.uniform(0, CROP) for _ in range(4))
    box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
    cropped = picture.resize(picture.size, Image.Resampling.BICUBIC, box=box)
    return ImageEnhance.Brightness(cropped).enhance(1 + rng.uniform(-LIGHT, LIGHT))


def hear(
    vlm: VLM,
    people: Sequence[Asked],
    questions: Sequence[Question],
    progress: Callable[[int, int], None] | None = None,
) -> dict[tuple[int, str, Door], list[Heard]]:
    """The answers by (number of the person, key of the question, door)."""
    records: list[Record] = []
    places: list[tuple[int, str, Door]] = []
    embedded: dict[str, bytes] = {}

    def add(place: tuple[int, str, Door], wordings: Sequence[str], image: str | None) -> None:
        for wording in wordings:
            records.append(
                Record(
                    id=str(len(records)), split="forget", image=image, question=wording, answer="?",
                    kind="text_memory" if image is None else "image_memory",
                )
            )  # fmt: skip
            places.append(place)

    for number, person in enumerate(people):
        images = [f"{number}-{view}.png" for view in range(len(person.pictures))]
        embedded.update(zip(images, map(_png, person.pictures), strict=True))
        for view, image in enumerate(images):
            for question in questions:
                wordings = question.through_picture()
                turn = wordings[view :: len(images)] if person.spread else wordings
                add((number, question.key, "picture"), turn, image)
        if person.name is not None:
            for question in questions:
                add((number, question.key, "name"), question.by_name(person.name), None)
    data = Data(Path(), tuple(records), embedded)
    tell = progress or (lambda done, total: None)
    answers: list[str] = []
    for start in range(0, len(records), CHUNK):
        answers += ask(vlm, data, records[start : start + CHUNK])
        tell(len(answers), 2 * len(records))
    said = [content(r.question, answer) for r, answer in zip(records, answers, strict=True)]
    by_place: dict[tuple[int, str, Door], list[frozenset[str]]] = {}
    for place, words in zip(places, said, strict=True):
        by_place.setdefault(place, []).append(words)
    common = {place: commonest(words) for place, words in by_place.items()}
    # Only the commonest answers' probabilities count, and a pass for the others would be wasted.
    scored = [
        record.model_copy(update={"answer": answer})
        for record, answer, place, words in zip(records, answers, places, said, strict=True)
        if says(words, common[place])
    ]
    sure: dict[str, float] = {}
    for start in range(0, len(scored), CHUNK):
        chunk = scored[start : start + CHUNK]
        values = answer_probability(vlm, data, chunk)
        sure.update(zip((record.id for record in chunk), values, strict=True))
        tell(len(records) + len(records) * len(sure) // len(scored), 2 * len(records))
    found: dict[tuple[int, str, Door], list[Heard]] = {}
    for record, answer, place in zip(records, answers, places, strict=True):
        heard = Heard(record.question, answer, sure.get(record.id, 0.0))
        found.setdefault(place, []).append(heard)
    return found


def look(
    vlm: VLM, pictures: Sequence[Image.Image], questions: Sequence[str]
) -> list[tuple[int, str, str]]:
    """(number of the picture, question, answer), without answers that say nothing or decline."""
    from excise.vlm.generation import answer

    asked = [(number, question) for number in range(len(pictures)) for question in questions]
    answers = answer(vlm, [(pictures[number], question) for number, question in asked])
    return [
        (number, question, said)
        for (number, question), said in zip(asked, answers, strict=True)
        if said.strip() and not is_refusal(said)
    ]


def _png(picture: Image.Image) -> bytes:
    out = BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
