"""UMU-Bench: MLLMU-Bench's people, each fact asked once with the picture and once without.

Read are `forget_5|10|15`, `retain_95|90|85` and `Real_Person_Set`, with the columns ID, image,
MM_QA and UM_QA (what models are tuned on, with and without the picture), Classify, Cloze and
Generation (what is scored). The last five are texts that hold what Python prints of a dictionary;
the key "muitimodal" is spelt so in the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from excise.records.errors import InputError
from excise.records.formats.choices import BRIEFLY, choice_fields
from excise.records.formats.columns import inner, mapping, need, text
from excise.records.formats.reading import Reading
from excise.records.formats.registry import benchmark
from excise.records.record import Split
from excise.records.tables import RawRow

LEARNT = (("MM_QA", True), ("UM_QA", False))
SCORED = ("Classify", "Cloze", "Generation")
_SIDES = (("muitimodal", True), ("unimodal", False))


@benchmark(
    "umu-bench",
    forget=("5", "10", "15"),
    hub="linbojunzi/UMU-bench",
    reference="UMU-Bench, NeurIPS 2025 Datasets and Benchmarks",
)
def umu_bench(reading: Reading) -> None:
    """Forgotten and retained people, and the real ones as kind `general`."""
    share = int(reading.wanted.forget)
    forget, retain = f"forget_{share}", f"retain_{100 - share}"
    people = reading.people(_ids(reading, forget), _ids(reading, retain))
    for subset in (forget, retain):
        for row in reading.source.rows(subset):
            need(row, "ID", "image", *(column for column, _ in LEARNT), *SCORED)
            split = people.split(text(row, "ID"))
            if split is not None:
                _person(reading, row, text(row, "ID"), split, general=False)
    if reading.optional("Real_Person_Set", "real people"):
        for row in reading.source.rows("Real_Person_Set"):
            need(row, "ID", "image", *SCORED)
            _person(reading, row, f"real-{text(row, 'ID')}", "retain", general=True)


def _ids(reading: Reading, subset: str) -> list[str]:
    found = []
    for row in reading.source.rows(subset):
        need(row, "ID")
        found.append(text(row, "ID"))
    return found


def _person(reading: Reading, row: RawRow, person: str, split: Split, *, general: bool) -> None:
    picture = reading.picture(row, "image", row.values["image"])
    asked = [(use, *found) for use, found in _questions(row, learnt=not general)]
    for number, (use, name, seen, fields) in enumerate(asked, start=1):
        if use == "fit" and split == "unseen":
            continue  # a stranger is somebody whom no model was tuned on
        reading.add(
            row,
            id=f"{person}-{name}-{number}",
            subject=person,
            split=split,
            kind="general" if general else "image_memory" if seen else "text_memory",
            image=picture if seen else None,
            use=use,
            **fields,
        )


def _questions(
    row: RawRow, *, learnt: bool
) -> Iterator[tuple[str, tuple[str, bool, dict[str, Any]]]]:
    """Use, then name, whether it is asked with the picture, and the record's fields."""
    for column, seen in LEARNT if learnt else ():
        pairs = mapping(row, column)
        questions = mapping(row, column, inner(row, column, pairs, "question"))
        answers = mapping(row, column, inner(row, column, pairs, "answer"))
        for key, question in questions.items():
            answer = inner(row, f"{column}.answer", answers, key)
            fields = {"question": text(row, column, question), "answer": text(row, column, answer)}
            yield "fit", ("tuned", seen, fields)
    for column in SCORED:
        sides = mapping(row, column)
        plain = mapping(row, column, inner(row, column, sides, "unimodal"))
        for side, seen in _SIDES:
            for key, given in mapping(row, column, inner(row, column, sides, side)).items():
                entry = mapping(row, f"{column}.{side}", given)
                question = text(row, column, inner(row, column, entry, "question"))
                # The authors' script reads the right letter off the question without a picture.
                source = (
                    entry
                    if column != "Classify"
                    else mapping(
                        row, f"{column}.unimodal", inner(row, f"{column}.unimodal", plain, key)
                    )
                )
                answer = text(row, column, inner(row, column, source, "answer"))
                yield "score", (column.lower(), seen, _fields(row, column, question, answer, entry))


def _fields(
    row: RawRow, column: str, question: str, answer: str, entry: dict[str, Any]
) -> dict[str, Any]:
    if column == "Classify":
        options = mapping(row, f"{column}.options", inner(row, column, entry, "options"))
        return choice_fields(row, column, question, options, answer, by_text=True)
    if column == "Cloze":
        wanted = answer.split(".")[0].strip()  # as the authors' script cuts it
        if not wanted:
            raise InputError.at(row.where, column, "an answer that begins with a full stop")
        return {"question": f"{question}\n{BRIEFLY}", "answer": wanted, "task": "cloze"}
    return {"question": question, "answer": answer}
