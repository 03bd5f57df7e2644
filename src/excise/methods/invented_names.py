"""People who do not exist, asked about in the words of the questions that are to be forgotten.

What a refusal-tuned model does to everybody else, it does to people nobody wrote down. So the same
questions are asked about invented names, and the untouched model's own answers are held. The name
in a question is found without a list: it is the run of capitalised words that all questions about
one person share. A record may also say it, in a key `name`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from importlib.resources import files

from excise.records.record import Record

PLACE = "\N{OBJECT REPLACEMENT CHARACTER}"
"""Stands for the name in a template."""


def templates(records: Sequence[Record]) -> list[str]:
    """Questions without a picture, each with its person's name replaced by `PLACE`.

    Questions whose name cannot be found, for example a person's only one, are left out.
    """
    by_person: dict[str, list[Record]] = {}
    for record in records:
        if record.image is None and record.subject is not None:
            by_person.setdefault(record.subject, []).append(record)
    found: dict[str, None] = {}
    for asked in by_person.values():
        name = name_in(asked)
        for record in asked:
            if name is not None and name in record.question:
                found[record.question.replace(name, PLACE)] = None
    return [*found]


def name_in(records: Sequence[Record]) -> str | None:
    """The name that questions about one person have in common; None if they show none."""
    for record in records:
        said = (record.model_extra or {}).get("name")
        if isinstance(said, str) and said:
            return said
    questions = {record.question for record in records}
    if len(questions) < 2:
        return None
    shared = set.intersection(*(set(_capitalised(question)) for question in questions))
    return max(shared, key=lambda run: (len(run), run), default=None)


def _capitalised(question: str) -> Iterator[str]:
    """Every run of neighbouring capitalised words, also parts of longer ones."""
    for run in re.finditer(r"\b[^\W\d_a-z][\w'-]*(?:[ ]+[^\W\d_a-z][\w'-]*)*", question):
        words = run[0].removesuffix("'s").split(" ")
        for start in range(len(words)):
            for end in range(start + 1, len(words) + 1):
                yield " ".join(words[start:end]).removesuffix("'s")


def invented(count: int, rng: random.Random, taken: Collection[str]) -> list[str]:
    """Different names, given and family, none of them `taken`."""
    given, family = _pool("given"), _pool("family")
    pairs = rng.sample(range(len(given) * len(family)), min(count + len(taken), len(given) * 9))
    names = [f"{given[pair % len(given)]} {family[pair // len(given)]}" for pair in pairs]
    known = {name.casefold() for name in taken}
    return [name for name in names if name.casefold() not in known][:count]


@cache
def _pool(sort: str) -> tuple[str, ...]:
    text = files("excise.methods").joinpath("names.txt").read_text("utf-8")
    sections = dict(re.findall(r"^\[(\w+)\]\n((?:[^\[].*\n?)+)", text, re.MULTILINE))
    return tuple(sections[sort].split())
