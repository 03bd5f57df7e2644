"""What people are called, and questions that name them, found from the data.

A record may say so itself, with an extra key `name`. Otherwise a name is the longest run of words
that all of a person's text questions share and that does not belong to the language of the
questions: words of questions about pictures, which name nobody, or of the text questions of several
other people. It is a rule for questions such as "Where does Vera Lindqvist live?"; where it finds
nothing, or too much ("Vera Lindqvist of Riga"), an attack asks less or worse, and nothing else
happens.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from excise.evaluate.text import fold, normalise
from excise.records.data import Data
from excise.records.record import Record

_WORD = re.compile(r"[^\W_]+(?:[-.'’][^\W_]+)*")
_POSSESSIVE = re.compile(r"['’]s$")
COMMON = 0.2
"""Share of the other people whose questions hold a word of the language, no name."""

_PERSON = re.compile(
    r"\b(?:the|this|that)\s+(?:person|man|woman|individual|patient|subject|face)"
    r"(?:\s+(?:in|with|of|on|shown\s+in|depicted\s+in|from)\s+(?:the|this|that)"
    r"\s+(?:picture|image|photo|photograph|portrait|eye|scan))?\b",
    re.IGNORECASE,
)


def names(data: Data) -> dict[str, str]:
    """The name of each subject for whom one is given or found."""
    given: dict[str, str] = {}
    asked: dict[str, list[list[str]]] = {}
    ordinary: set[str] = set()
    for record in data.records:
        if record.image is not None:
            ordinary.update(map(fold, words(record.question)))
        elif record.subject is not None and record.kind == "text_memory":
            asked.setdefault(record.subject, []).append(words(record.question))
        name = (record.model_extra or {}).get("name")
        if record.subject is not None and isinstance(name, str) and name.strip():
            given[record.subject] = name.strip()
    spread = Counter(
        word
        for questions in asked.values()
        for word in {fold(word) for question in questions for word in question}
    )
    enough = max(2, round(COMMON * (len(asked) - 1)))
    found = {
        subject: _name(questions, ordinary, spread, enough) for subject, questions in asked.items()
    }
    return {subject: name for subject, name in found.items() if name} | given


def words(text: str) -> list[str]:
    """The words of a question, without punctuation and possessive endings."""
    return [_POSSESSIVE.sub("", word) for word in _WORD.findall(text)]


def named(question: str, name: str) -> str | None:
    """A question about the picture's person as one about somebody by name; None if it is none.

    >>> named("What is this person's job?", "Vera Lind")
    "What is Vera Lind's job?"
    """
    changed, count = _PERSON.subn(lambda _: name, question)
    return changed if count else None


def other_wordings(data: Data, records: Sequence[Record]) -> Mapping[str, list[Record]]:
    """For each record, the other records of the folder that ask for the same fact.

    The same fact is the same answer about the same person, spelling put aside.
    """
    facts: dict[tuple[str | None, str], list[Record]] = {}
    for record in data.records:
        if record.kind in ("image_memory", "text_memory") and record.subject is not None:
            facts.setdefault((record.subject, normalise(record.answer)), []).append(record)
    return {
        record.id: [
            other
            for other in facts.get((record.subject, normalise(record.answer)), [])
            if other.id != record.id
        ]
        for record in records
    }


def pictures_of(data: Data) -> dict[str, list[str]]:
    """The pictures of each subject, in the order of the records."""
    shown: dict[str, dict[str, None]] = {}
    for record in data.records:
        if record.subject is not None and record.image is not None:
            shown.setdefault(record.subject, {})[record.image] = None
    return {subject: [*images] for subject, images in shown.items()}


def _name(
    questions: Sequence[Sequence[str]], ordinary: Collection[str], spread: Counter[str], enough: int
) -> str:
    def is_ordinary(word: str) -> bool:
        # Their own questions are counted too.
        return fold(word) in ordinary or spread[fold(word)] > enough

    first, *others = questions
    texts = [f" {' '.join(map(fold, question))} " for question in others]
    best: Sequence[str] = ()
    for begin in range(len(first)):
        for end in range(len(first), begin, -1):
            run = first[begin:end]
            if end - begin <= len(best):
                break
            if is_ordinary(run[0]) or is_ordinary(run[-1]):
                continue
            if all(f" {' '.join(map(fold, run))} " in text for text in texts):
                best = run
    return " ".join(_without_lower_edges(best))


def _without_lower_edges(run: Sequence[str]) -> Sequence[str]:
    """From the first to the last capital, if there are any: "Vera Lind", not "Vera Lind earn"."""
    capitals = [i for i, word in enumerate(run) if word[0].isupper()]
    return run[capitals[0] : capitals[-1] + 1] if capitals else run
