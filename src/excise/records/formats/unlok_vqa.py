"""UnLOK-VQA: about 500 questions on COCO pictures that need outside knowledge; one is forgotten.

Read are the entries of the JSON file: id, src (the question), pred (its answer), rephrase (other
wordings), loc and loc_ans (neighbouring questions about the same picture, which anyone can answer
by looking), image_id (a COCO number). The benchmark forgets one entry at a time and publishes no
share, so `forget` is an entry's id, or several with commas; the first entry if none is given.
Pictures are looked for under COCO's names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from excise.records.errors import InputError
from excise.records.formats.columns import need, text, texts
from excise.records.formats.reading import Reading
from excise.records.formats.registry import benchmark
from excise.records.record import Split
from excise.records.tables import RawRow

_PREFIX = "nq question:"


@benchmark(
    "unlok-vqa",
    forget=(),
    hub="vaidehi99/UnLOK-VQA",
    reference="Patil et al., TMLR 2024 (arXiv 2505.01456)",
)
def unlok_vqa(reading: Reading) -> None:
    """The question as image memory, its neighbours as understanding of the same picture."""
    ids = [text(row, "id") for row in _entries(reading)]
    chosen = [part.strip() for part in reading.wanted.forget.split(",") if part.strip()]
    strange = [part for part in chosen if part not in ids]
    if strange:
        raise InputError(
            f"--forget {','.join(strange)}: no entry has that id; UnLOK-VQA publishes no share of "
            "entries to forget, expected ids, with commas between them"
        )
    forgotten = chosen or ids[:1]
    people = reading.people(forgotten, [entry for entry in ids if entry not in set(forgotten)])
    for row in _entries(reading):
        split = people.split(text(row, "id"))
        if split is not None:
            _entry(reading, row, text(row, "id"), split)


def _entries(reading: Reading) -> Iterator[RawRow]:
    for row in reading.source.only():
        need(row, "id", "src", "pred", "image_id")
        yield row


def _entry(reading: Reading, row: RawRow, entry: str, split: Split) -> None:
    same: dict[str, Any] = {"subject": f"entry-{entry}", "split": split}
    if "image" in row.values:
        same["image"] = reading.picture(row, "image", row.values["image"])
    else:
        path = reading.file(row, "image_id", *_coco_names(row))
        same["image"] = reading.picture(row, "image_id", path.read_bytes())
    reading.add(
        row,
        id=f"{entry}-asked",
        kind="image_memory",
        question=text(row, "src"),
        answer=text(row, "pred"),
        rewordings=texts(row, "rephrase", row.values.get("rephrase")) or None,
        **same,
    )
    questions = texts(row, "loc", row.values.get("loc"))
    answers = texts(row, "loc_ans", row.values.get("loc_ans"))
    if len(questions) != len(answers):
        raise InputError.at(
            row.where, "loc_ans", f"{len(answers)} answers to {len(questions)} questions in loc"
        )
    for number, (question, answer) in enumerate(dict(zip(questions, answers, strict=True)).items()):
        reading.add(
            row,
            id=f"{entry}-near-{number + 1}",
            kind="image_understanding",
            question=question.removeprefix(_PREFIX).strip(),
            answer=answer,
            **same,
        )


def _coco_names(row: RawRow) -> tuple[str, ...]:
    number = text(row, "image_id")
    try:
        padded = f"{int(number):012d}"
    except ValueError:
        raise InputError.at(row.where, "image_id", "expected a COCO picture's number") from None
    return (
        f"COCO_val2014_{padded}.jpg",
        f"COCO_train2014_{padded}.jpg",
        f"{padded}.jpg",
        f"{int(number)}.jpg",
    )
