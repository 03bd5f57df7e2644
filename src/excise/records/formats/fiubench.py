"""FIUBench: 400 fictitious faces with twenty private facts each, all asked with the picture.

Read are `full` (unique_id, image_path, qa_list with question, answer, paraphrased_question,
paraphrased_answer, perturbed_answer and keywords; caption if it is there) and `split.json`, which
lists people by `unique_id` under `forget1`, `forget5` and `forget10`. As in the authors' code only
the first 400 entries are used to tune models, and retained is who is in none of the three lists.
Entries after the 400th, if there are any, are people whom the tuned models never saw.
"""

from __future__ import annotations

import json
from typing import Any

from excise.records.errors import InputError
from excise.records.formats.columns import entries, inner, need, text, texts
from excise.records.formats.reading import Reading
from excise.records.formats.registry import benchmark
from excise.records.record import Split
from excise.records.tables import RawRow

TUNED = 400
"""How many entries the authors' code tunes models on."""
SEE = "Describe the face in the picture."


@benchmark(
    "fiubench",
    forget=("1", "5", "10"),
    hub="gray311/FIUBench",
    reference="Ma et al., ICLR 2025 (arXiv 2411.03554)",
)
def fiubench(reading: Reading) -> None:
    """Private facts as image memory; a face's description, where there is one, as understanding."""
    lists = _lists(reading)
    wanted = f"forget{reading.wanted.forget}"
    if wanted not in lists:
        raise InputError(
            f"{reading.source.root / 'split.json'}: no {wanted}, found {', '.join(lists)}"
        )
    known, strangers = _ids(reading)
    listed = {person for name, ids in lists.items() if name.startswith("forget") for person in ids}
    forgotten = [person for person in known if person in set(lists[wanted])]
    people = reading.people(forgotten, [person for person in known if person not in listed])
    for row in reading.source.rows("full"):
        need(row, "unique_id", "qa_list")
        person = text(row, "unique_id")
        split = "unseen" if person in strangers else people.split(person)
        if split is not None:
            _person(reading, row, person, split)


def _lists(reading: Reading) -> dict[str, list[str]]:
    path = reading.source.root / "split.json"
    if reading.source.on_hub:
        raise InputError(
            f"{reading.source.given}: FIUBench's pictures and split.json are files beside the "
            "table, expected the downloaded folder"
        )
    try:
        content: Any = json.loads(path.read_text("utf-8"))
    except OSError:
        raise InputError(f"{path}: is missing, expected the lists of who is forgotten") from None
    except ValueError:
        raise InputError(f"{path}: expected lists of people by name, in JSON") from None
    if not isinstance(content, dict) or not all(isinstance(v, list) for v in content.values()):
        raise InputError(f"{path}: expected lists of people by name")
    return {str(name): [str(person) for person in ids] for name, ids in content.items()}


def _ids(reading: Reading) -> tuple[list[str], set[str]]:
    """Who is known to a tuned model, in the file's order, and who is not."""
    found = []
    for row in reading.source.rows("full"):
        need(row, "unique_id")
        found.append(text(row, "unique_id"))
    return found[:TUNED], set(found[TUNED:]) - set(found[:TUNED])


def _person(reading: Reading, row: RawRow, person: str, split: Split) -> None:
    column = "image" if "image" in row.values else "image_path"
    need(row, column)
    same: dict[str, Any] = {
        "subject": person,
        "split": split,
        "image": reading.picture(row, column, row.values[column]),
    }
    for number, asked in enumerate(entries(row, "qa_list"), start=1):
        right = texts(row, "qa_list.paraphrased_answer", asked.get("paraphrased_answer"))
        others = texts(row, "qa_list.paraphrased_question", asked.get("paraphrased_question"))
        wrong = texts(row, "qa_list.perturbed_answer", asked.get("perturbed_answer"))
        reading.add(
            row,
            id=f"{person}-{number}",
            kind="image_memory",
            question=text(row, "qa_list", inner(row, "qa_list", asked, "question")),
            answer=text(row, "qa_list", inner(row, "qa_list", asked, "answer")),
            paraphrase=right[0] if right else None,
            wrong=wrong or None,
            keywords=texts(row, "qa_list.keywords", asked.get("keywords")) or None,
            rewordings=others or None,
            **same,
        )
    if row.values.get("caption"):
        reading.add(
            row,
            id=f"{person}-caption",
            kind="image_understanding",
            question=SEE,
            answer=text(row, "caption"),
            task="caption",
            **same,
        )
