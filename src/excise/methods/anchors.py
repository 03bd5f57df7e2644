"""Behaviour anchors: what the untouched model says where nothing is to change.

Refusal training goes too far because nothing tells the model where to stop. The model itself can:
it is asked the very questions that are to be forgotten, about pictures and names that nobody asked
to be forgotten, and what can be seen on the forgotten people's own pictures; its own answers are
held. No label of anybody is needed. Two things make them good anchors:

- An answer that gives away a forgotten fact is no anchor. The untouched model takes some strangers
  for the people to forget, and holding it to that would hold the memory itself.
- A picture is asked the questions of the forget picture that it is most like (by thumbnail), so
  that a face gets questions about faces.

Source: our own; see docs/method.md for what each part brings.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from PIL import Image

from excise.methods.invented_names import PLACE, invented, templates
from excise.methods.material import PRIVATE as PRIVATE_KINDS
from excise.methods.method import Material
from excise.methods.picture_sorts import LOOKING, nearest, sorts
from excise.methods.views import new_view
from excise.records.record import Record
from excise.records.unlabelled import Unlabelled
from excise.vlm.generation import answer
from excise.vlm.rows import Row, Turn, rows_from_records

ROLE = "anchor"
PRIVATE, SEEN, NAMED = 4, 3, 6
"""Questions a row: private ones and for looking about a picture, and about a name."""
LOOKS = 7
"""Questions for looking about a forgotten person's own picture."""
Asked = tuple[Image.Image | None, tuple[str, ...]]


def behaviour_anchors(
    material: Material, unlabelled: Unlabelled, *, pictures: int, names: int, own: int
) -> list[Row]:
    """Rows of role "anchor" with the untouched model's own answers; run it with nothing on it.

    Args:
        unlabelled: where pictures and names come from; names that it lacks are invented.
        pictures: at most so many unlabelled ones, drawn by the run's seed.
        names: so many people who do not exist.
        own: new views of each forget picture that are asked what can be seen.
    """
    rng = random.Random(_stream(material))
    if not unlabelled.files and any(record.image is not None for record in material.forget):
        material.warnings.append(
            "no unlabelled pictures to hold the model to: others may be refused on their pictures; "
            "put some into the data folder's anchors/ or name a folder with -o pictures="
        )
    asked = [
        *_about_pictures(material, unlabelled, pictures, rng),
        *_about_own(material, own, rng),
        *_about_names(material, unlabelled, names, rng),
    ]
    rows = _answered(material, asked)
    kept = sum(len(row.turns) for row in rows)
    material.notes["anchors"] = {
        "unlabelled_pictures": min(pictures, len(unlabelled.files)),
        "questions": sum(len(questions) for _, questions in asked),
        "given_away": sum(len(questions) for _, questions in asked) - kept,
        "few": len(material.few),
    }
    return [*rows, *rows_from_records(material.data, material.few, role=ROLE)]


def _stream(material: Material) -> str:
    """Names the draws; other anchors for a run upon another than that one had."""
    plain = f"anchors-{material.seed}"
    return plain if material.upon is None else f"{plain}-upon-{material.upon.id}"


def _about_pictures(
    material: Material, unlabelled: Unlabelled, count: int, rng: random.Random
) -> Iterator[Asked]:
    """Private questions and questions for looking about pictures of nobody in particular."""
    known = sorts(material)
    files = range(len(unlabelled.files))
    drawn = sorted(rng.sample(files, min(count, len(files))))
    few = {record.image: record for record in material.few if record.image is not None}
    shown = [
        *zip(unlabelled.pictures(drawn), map(unlabelled.asked, drawn), strict=True),
        *((material.data.picture(record), ()) for record in few.values()),
    ]
    for picture, own in shown:
        sort = None if picture is None else nearest(known, picture)
        if sort is not None:
            looking = own or (*sort.seen, rng.choice(LOOKING))
            yield picture, (*_some(sort.private, PRIVATE, rng), *_some(looking, SEEN, rng))


def _about_own(material: Material, views: int, rng: random.Random) -> Iterator[Asked]:
    """What can be seen on the forgotten people's own pictures."""
    for sort, (done, picture) in zip(sorts(material), _own_pictures(material), strict=True):
        for _ in range(min(1, views) if done else views):
            yield new_view(picture, rng), _some(sort.seen, LOOKS, rng)


def _about_names(
    material: Material, unlabelled: Unlabelled, count: int, rng: random.Random
) -> Iterator[Asked]:
    known = templates([*material.forget, *material.few])
    if not known:
        return
    names = list(unlabelled.names)
    rng.shuffle(names)
    names = [*names[:count], *invented(max(0, count - len(names)), rng, names)]
    for name in names:
        yield None, tuple(q.replace(PLACE, name) for q in _some(known, NAMED, rng))


def _answered(material: Material, asked: Sequence[Asked]) -> list[Row]:
    """The asked with the model's answers, but for those that give away what is to be forgotten."""
    private = material.data.select(splits=["forget"], kinds=PRIVATE_KINDS, use="fit")
    secret = {record.answer.casefold() for record in private}
    telling = {record.question for record in private}

    def tells(picture: Image.Image | None, question: str, words: str) -> bool:
        return words.casefold() in secret and (picture is None or question in telling)

    said = iter(answer(material.vlm, [(picture, q) for picture, asks in asked for q in asks]))
    rows = []
    for picture, questions in asked:
        answered = list(zip(questions, said, strict=False))
        turns = tuple(Turn(q, a, ROLE) for q, a in answered if a and not tells(picture, q, a))
        if turns:
            rows.append(Row(picture, turns))
    return rows


def _own_pictures(material: Material) -> list[tuple[bool, Image.Image]]:
    """The forget set's pictures, and of each whether its person is forgotten already."""
    first: dict[str, Record] = {}
    for record in material.forget:
        if record.image is not None:
            first.setdefault(record.image, record)
    found = ((r.subject in material.done, material.data.picture(r)) for r in first.values())
    return [(done, picture) for done, picture in found if picture is not None]


def _some(questions: Sequence[str], most: int, rng: random.Random) -> tuple[str, ...]:
    different = [*dict.fromkeys(questions)]
    return tuple(rng.sample(different, min(most, len(different))))
