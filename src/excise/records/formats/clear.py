"""CLEAR: the 200 authors of TOFU with portraits, their captions, and TOFU's questions as text.

Read are `forget01|05|10` and `retain99|95|90` (image, caption, name), the same with `+tofu` (of
which the rows without a picture: question, answer), `..._perturbed` and `retain_perturbed`
(paraphrased_caption, perturbed_captions, perturbed_names, for the truth ratio), `real_faces`
(image, answer, options) and `real_world` (image, question, answer, options).
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from excise.records.formats.columns import need, text, texts
from excise.records.formats.people import People
from excise.records.formats.reading import Reading
from excise.records.formats.registry import benchmark
from excise.records.record import Split
from excise.records.tables import RawRow

CAPTION = (
    "Describe this picture.",
    "What does the picture show, and who is in it?",
    "Tell me what you see here.",
)
NAME = "What is the name of the person in the picture?"


@benchmark(
    "clear",
    forget=("1", "5", "10"),
    hub="therem/CLEAR",
    reference="Dontsov et al. (arXiv 2410.18057)",
)
def clear(reading: Reading) -> None:
    """Captions and names as image memory, TOFU's questions as text memory."""
    share = int(reading.wanted.forget)
    forget, retain = f"forget{share:02d}", f"retain{100 - share}"
    names = {subset: _names(reading, subset) for subset in (forget, retain)}
    people = reading.people(names[forget], names[retain])
    reworded: dict[tuple[str, str], RawRow] = {}
    for subset in (f"{forget}_perturbed", "retain_perturbed"):
        if reading.optional(subset, "paraphrased and perturbed captions for the truth ratio"):
            for row in reading.source.rows(subset):
                need(row, "caption", "name")
                row.values.pop("image", None)  # kept for the whole of the reading
                reworded[text(row, "name"), text(row, "caption")] = row
    for subset in (forget, retain):
        # Counted here: a row's own number begins anew in each of several files.
        for number, row in enumerate(reading.source.rows(subset), start=1):
            need(row, "image", "caption", "name")
            split = people.split(text(row, "name"))
            if split is not None:
                _portrait(reading, row, f"{subset}-{number}", split, reworded)
        if reading.optional(f"{subset}+tofu", "questions without a picture"):
            _questions(reading, subset, people, set(names[subset]))
    _real(reading)


def _names(reading: Reading, subset: str) -> list[str]:
    found: Counter[str] = Counter()
    for row in reading.source.rows(subset):
        need(row, "name")
        found[text(row, "name")] += 1
    return list(found)


def _portrait(
    reading: Reading,
    row: RawRow,
    place: str,
    split: Split,
    reworded: dict[tuple[str, str], RawRow],
) -> None:
    """A caption to learn and to score, and the name, which the authors only score."""
    name, caption = text(row, "name"), text(row, "caption")
    more = reworded.get((name, caption))
    given: dict[str, Any] = {} if more is None else more.values
    same: dict[str, Any] = {
        "subject": name,
        "split": split,
        "kind": "image_memory",
        "image": reading.picture(row, "image", row.values["image"]),
    }
    at = row if more is None else more
    reading.add(
        row,
        id=f"{place}-caption",
        question=random.Random(f"caption-{reading.wanted.seed}-{place}").choice(CAPTION),
        answer=caption,
        task="caption",
        paraphrase=given.get("paraphrased_caption"),
        wrong=texts(at, "perturbed_captions", given.get("perturbed_captions")) or None,
        **same,
    )
    others = texts(at, "perturbed_names", given.get("perturbed_names"))
    reading.add(
        row,
        id=f"{place}-name",
        question=NAME,
        answer=name,
        wrong=others or None,
        use="score",
        **same,
    )


def _questions(reading: Reading, subset: str, people: People, names: set[str]) -> None:
    """TOFU's questions; a row names its author in the question or the answer, or nobody."""
    nobody = 0
    owner = _Owner(names)
    for number, row in enumerate(reading.source.rows(f"{subset}+tofu"), start=1):
        if "image" in row.values:
            continue  # a caption, which the subset without +tofu has too, with its name
        need(row, "question", "answer")
        name = owner.of(text(row, "question"), text(row, "answer"))
        nobody += name is None
        split = (
            people.split(name) if name else "forget" if subset.startswith("forget") else "retain"
        )
        if split is None:
            continue
        reading.add(
            row,
            id=f"{subset}-tofu-{number}",
            subject=name,
            split=split,
            kind="text_memory",
            question=text(row, "question"),
            answer=text(row, "answer"),
        )
    if nobody:
        reading.notes.append(f"{subset}+tofu: {nobody} questions name nobody, and have no subject")


class _Owner:
    """Whose question it is: the only full name in it, else the only surname that one author has."""

    def __init__(self, names: Iterable[str]) -> None:
        self._full = {name: re.compile(rf"\b{re.escape(name)}\b", re.I) for name in names}
        last = Counter(name.split()[-1] for name in self._full)
        self._last = {
            name: re.compile(rf"\b{re.escape(name.split()[-1])}\b")
            for name in self._full
            if last[name.split()[-1]] == 1
        }

    def of(self, *said: str) -> str | None:
        for patterns in (self._full, self._last):
            for part in said:
                found = [name for name, pattern in patterns.items() if pattern.search(part)]
                if len(found) == 1:
                    return found[0]
        return None


def _real(reading: Reading) -> None:
    """Real faces and real things: what everybody may know, kind `general`."""
    for subset, question in (("real_faces", NAME), ("real_world", None)):
        if not reading.optional(subset, "real faces and things"):
            continue
        for number, row in enumerate(reading.source.rows(subset), start=1):
            need(row, "answer", *(() if question else ("question",)))
            answer = text(row, "answer")
            options = texts(row, "options", row.values.get("options"))
            picture = row.values.get("image")
            reading.add(
                row,
                id=f"{subset}-{number}",
                split="retain",
                kind="general",
                image=None if picture is None else reading.picture(row, "image", picture),
                question=question or text(row, "question"),
                answer=answer,
                wrong=[o for o in options if o != answer] or None,
                use="score",
            )
