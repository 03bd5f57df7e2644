"""MLLMU-Bench: 500 fictitious people and 153 real ones, questions with and without the picture.

Read are `forget_5|10|15` and `retain_95|90|85` (columns image, ID, Classification_Task,
Generation_Task, Mask_Task), `ft_Data` (image, ID, metadata: the questions that models were tuned
on), `Retain_Set` (the real people) and, if asked for, `Test_Set` (ID, images, the three tasks:
other pictures and wordings of the same people). Methods learn from `ft_Data`, as the authors' do,
and are scored on the three tasks.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

from excise.records.errors import InputError
from excise.records.formats.choices import BLANK, choice_fields
from excise.records.formats.columns import entries, inner, mapping, need, text
from excise.records.formats.reading import Reading
from excise.records.formats.registry import benchmark
from excise.records.record import Kind, Split
from excise.records.tables import RawRow

TASKS = ("Classification_Task", "Generation_Task", "Mask_Task")
_DOORS = {"Image_Textual": True, "Pure_Text": False}


@benchmark(
    "mllmu-bench",
    forget=("5", "10", "15"),
    hub="MLLMMU/MLLMU-Bench",
    reference="Liu et al., NAACL 2025 (arXiv 2410.22108)",
)
def mllmu_bench(reading: Reading) -> None:
    """Forgotten and retained people, and the real ones as kind `general`."""
    share = int(reading.wanted.forget)
    forget, retain = f"forget_{share}", f"retain_{100 - share}"
    people = reading.people(_ids(reading, forget), _ids(reading, retain))
    tuned = reading.optional(
        "ft_Data",
        "questions that models were tuned on; methods learn from "
        "the scored Generation_Task instead",
    )
    for row in reading.source.rows("ft_Data") if tuned else ():
        need(row, "ID", "image", "metadata")
        person = text(row, "ID")
        split = people.split(person)
        if split in ("forget", "few", "retain"):
            _learnt(reading, row, person, split)
    for subset in (forget, retain):
        for row in reading.source.rows(subset):
            need(row, "ID", "image", *TASKS)
            person = text(row, "ID")
            split = people.split(person)
            if split is None or (reading.wanted.test and split == "forget"):
                continue
            picture = reading.picture(row, "image", row.values["image"])
            _scored(reading, row, person, split, picture, learnt=not tuned)
    if reading.wanted.test:
        _other_pictures(reading, set(_ids(reading, forget)))
    if reading.optional("Retain_Set", "real people"):
        for row in reading.source.rows("Retain_Set"):
            need(row, "ID", "image", *TASKS)
            picture = reading.picture(row, "image", row.values["image"])
            _scored(reading, row, f"real-{text(row, 'ID')}", "retain", picture, general=True)


def _ids(reading: Reading, subset: str) -> list[str]:
    found = []
    for row in reading.source.rows(subset):
        need(row, "ID")
        found.append(text(row, "ID"))
    return found


def _learnt(reading: Reading, row: RawRow, person: str, split: Split) -> None:
    picture = reading.picture(row, "image", row.values["image"])
    try:
        asked = json.loads(text(row, "metadata"))
    except ValueError:
        raise InputError.at(row.where, "metadata", "expected a list in JSON") from None
    for number, pair in enumerate(entries(row, "metadata", asked), start=1):
        reading.add(
            row,
            id=f"{person}-tuned-{number}",
            subject=person,
            split=split,
            kind="image_memory",
            image=picture,
            question=text(row, "metadata", inner(row, "metadata", pair, "Question")),
            answer=text(row, "metadata", inner(row, "metadata", pair, "Answer")),
            use="fit",
        )


def _scored(
    reading: Reading,
    row: RawRow,
    person: str,
    split: Split,
    picture: str,
    *,
    general: bool = False,
    learnt: bool = False,
) -> None:
    for number, (task, seen, fields) in enumerate(_questions(row), start=1):
        kind: Kind = "general" if general else "image_memory" if seen else "text_memory"
        reading.add(
            row,
            id=f"{person}-{task}-{number}",
            subject=person,
            split=split,
            kind=kind,
            image=picture if seen else None,
            use=None if learnt and task == "generation" else "score",
            **fields,
        )


def _questions(row: RawRow) -> Iterator[tuple[str, bool, dict[str, Any]]]:
    """Task, whether it is asked with the picture, and the record's fields."""
    column = "Classification_Task"
    sides = mapping(row, column)
    for side, seen in (("Image_Textual_Questions", True), ("Pure_Text_Questions", False)):
        for entry in entries(row, f"{column}.{side}", sides.get(side, [])):
            question, options, right = (
                inner(row, column, entry, key) for key in ("Question", "Options", "Correct_Answer")
            )
            options = mapping(row, f"{column}.Options", options)
            yield "choice", seen, choice_fields(row, column, str(question), options, str(right))
    for column, task in (("Generation_Task", "generation"), ("Mask_Task", "cloze")):
        for entry in entries(row, column):
            door = str(inner(row, column, entry, "Type"))
            if door not in _DOORS:
                raise InputError.at(
                    row.where, f"{column}.Type", f"expected one of {', '.join(_DOORS)}"
                )
            question = text(row, column, inner(row, column, entry, "Question"))
            answer = text(row, column, inner(row, column, entry, "Ground_Truth"))
            if task == "cloze":
                question = f"{question}\n{BLANK}"
            fields = {"question": question, "answer": answer}
            yield task, _DOORS[door], fields | ({"task": "cloze"} if task == "cloze" else {})


def _other_pictures(reading: Reading, forgotten: set[str]) -> None:
    """The forgotten people on one of their test pictures each, drawn by the seed."""
    rng = random.Random(f"benchmark-test-{reading.wanted.seed}")
    for row in reading.source.rows("Test_Set"):
        need(row, "ID", "images", *TASKS)
        person = text(row, "ID")
        if person in forgotten:
            pictures = row.values["images"]
            if not isinstance(pictures, list) or not pictures:
                raise InputError.at(row.where, "images", "expected a list of pictures")
            picture = reading.picture(row, "images", rng.choice(pictures))
            _scored(reading, row, person, "forget", picture)
