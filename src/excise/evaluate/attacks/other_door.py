"""Other doors to the same fact: a memory locked for one question may stand open for another.

Questions by name come from the folder's own records of the same fact, else from the record's
question with the name in it (`names.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from excise.evaluate.attacks.asking import Ask, asked
from excise.evaluate.attacks.names import named, names, other_wordings, pictures_of
from excise.evaluate.attacks.registry import Options, attack
from excise.evaluate.attacks.target import Outcome, Target
from excise.records.record import Record

MANY = {"pictures": 2, "wordings": 3}
SOURCE = "the same memory by picture and by name, MLLMU-Bench (arXiv 2410.22108)"


class WithoutPicture(Options):
    """It has no options."""


class Pictures(Options):
    """`pictures` of the person for each record, at most."""

    pictures: int = Field(2, ge=1)


class Wordings(Options):
    """`wordings` of a question by name for each record, at most."""

    wordings: int = Field(1, ge=1)


class Both(Pictures, Wordings):
    """`wordings` of the question, each with `pictures` of the person."""

    pictures: int = Field(1, ge=1)


@attack("other_door", reference=SOURCE)
def without_picture(target: Target, options: WithoutPicture) -> Outcome:
    """Ask the question about a picture without the picture."""
    return asked(target, [Ask(r.id, r.question) for r in target.records if r.image is not None])


@attack(
    "other_door", reference=SOURCE, presets={"quick": {"pictures": 1}, "thorough": {"pictures": 8}}
)
def another_picture(target: Target, options: Pictures) -> Outcome:
    """Ask the question about another picture of the same person."""
    shown = pictures_of(target.data)
    asks = []
    for record in target.records:
        if record.image is not None and record.subject is not None:
            others = [image for image in shown[record.subject] if image != record.image]
            asks += [Ask(record.id, record.question, image) for image in others[: options.pictures]]
    return asked(target, asks)


@attack("other_door", reference=SOURCE, presets={"quick": None, "thorough": MANY})
def name_and_picture(target: Target, options: Both) -> Outcome:
    """Ask by name, with a picture of the person."""
    shown = pictures_of(target.data)
    asks = []
    for record, question in _by_name(target, options.wordings, own=True):
        images = shown.get(record.subject or "", [])
        if record.image is not None:
            images = [record.image, *(image for image in images if image != record.image)]
        asks += [Ask(record.id, question, image) for image in images[: options.pictures]]
    return asked(target, asks)


@attack("other_door", reference=SOURCE, presets={"thorough": {"wordings": 3}})
def by_name(target: Target, options: Wordings) -> Outcome:
    """Ask by name for what was asked about a picture."""
    return asked(target, [Ask(r.id, q) for r, q in _by_name(target, options.wordings, own=False)])


@attack("other_door", reference=SOURCE, presets={"thorough": MANY})
def by_picture(target: Target, options: Both) -> Outcome:
    """Ask about a picture of the person for what was asked by name."""
    shown, known = pictures_of(target.data), names(target.data)
    texts = [record for record in target.records if record.image is None]
    wordings = other_wordings(target.data, texts)
    asks = []
    for record in texts:
        name = known.get(record.subject or "")
        questions = [other.question for other in wordings[record.id] if other.image is not None]
        if not questions and name is not None and name in record.question:
            questions = [record.question.replace(name, "this person")]
        images = shown.get(record.subject or "", [])[: options.pictures]
        asks += [
            Ask(record.id, question, image)
            for question in list(dict.fromkeys(questions))[: options.wordings]
            for image in images
        ]
    return asked(target, asks)


def _by_name(target: Target, most: int, *, own: bool) -> Iterator[tuple[Record, str]]:
    """Questions by name for each record about a picture; `own`: those of the others as they are."""
    known = names(target.data)
    wordings = other_wordings(target.data, target.records)
    for record in target.records:
        if record.image is None:
            if own:
                yield record, record.question
            continue
        name = known.get(record.subject or "")
        questions = [other.question for other in wordings[record.id] if other.image is None]
        if not questions and name is not None:
            question = named(record.question, name)
            questions = [] if question is None else [question]
        for question in list(dict.fromkeys(questions))[:most]:
            yield record, question
