"""Which questions ask the same of different people.

Two questions are the same

1. if they are equal once case and names are left out ("what is _'s job?"). A name is a word with a
   capital inside a question that is asked about few people, at most one in ten;
2. private ones also if most people who answer both give the same answer to both: "What is _'s job?"
   and "What does this person do for a living?". This is carried on from question to question.

Kind (private or not) and task have to agree. No list of words and no language is built in; where a
script has no capitals, names stay, and a question that names its person is nobody else's.
Takes about 0.1 s for 3,000 records, and grows with the square of the records about one person.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from excise.evaluate.text import normalise
from excise.records.record import Record

PRIVATE = frozenset({"image_memory", "text_memory"})
FEW = 0.1

_WORD = re.compile(r"[^\W_]+")
_BLANKS = re.compile(r"_(?:\W*_)+")


class Wording(NamedTuple):
    """A question without the names in it."""

    text: str
    private: bool
    task: str


class Wordings:
    """The questions of a data folder in groups that ask the same.

    Args:
        records: all of the folder.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self._names = _names(records)
        self._known: dict[str, str] = {}
        self._links: dict[Wording, Wording] = {}
        for one, other in self._same_things(records):
            if (root := self._root(one)) != (new := self._root(other)):
                self._links[root] = new

    def group(self, record: Record) -> Wording:
        """One wording that stands for all that ask the same."""
        return self._root(self._wording(record))

    def _root(self, wording: Wording) -> Wording:
        root = wording
        while root in self._links:
            root = self._links[root]
        if root != wording:
            self._links[wording] = root  # chains stay short
        return root

    def _wording(self, record: Record) -> Wording:
        if record.question not in self._known:
            blanked = _WORD.sub(self._blanked, record.question)
            self._known[record.question] = _BLANKS.sub("_", blanked).strip()
        return Wording(self._known[record.question], record.kind in PRIVATE, record.task)

    def _blanked(self, match: re.Match[str]) -> str:
        return "_" if match[0] in self._names else match[0].lower()

    def _same_things(self, records: Sequence[Record]) -> list[tuple[Wording, Wording]]:
        """Pairs of wordings that rule 2 holds for."""
        said: dict[str, dict[Wording, set[str]]] = defaultdict(lambda: defaultdict(set))
        for record in records:
            if record.kind in PRIVATE:
                said[holder(record)][self._wording(record)].add(normalise(record.answer))
        alike: dict[tuple[Wording, Wording], list[bool]] = defaultdict(list)
        for answers in said.values():
            ordered = sorted(answers.items())
            for place, (one, mine) in enumerate(ordered):
                for other, theirs in ordered[:place]:
                    if one.task == other.task:
                        alike[one, other].append(not mine.isdisjoint(theirs))
        return [pair for pair, same in alike.items() if 2 * sum(same) > len(same)]


def holder(record: Record) -> str:
    """Whose answer it is: a person's, a picture's, or the record's own."""
    return f"subject {record.subject}" if record.subject else record.image or f"record {record.id}"


def _names(records: Sequence[Record]) -> frozenset[str]:
    """Words with a capital, not only as a question's first, that are asked about few people."""
    people: dict[str, set[str]] = defaultdict(set)
    inside: set[str] = set()
    for record in records:
        words = _WORD.findall(record.question)
        for word in words:
            people[word].add(holder(record))
        inside.update(word for word in words[1:] if word[0].isupper())
    few = max(1, int(FEW * len({holder(record) for record in records})))
    return frozenset(word for word in inside if len(people[word]) <= few)
