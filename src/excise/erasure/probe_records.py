"""The forget records of a probe: a data folder that `excise forget --data` takes as it is.

For every known question there is a record for each wording and, through pictures, for each picture
that was given, all with one answer: the model's own. The last wording is kept for scoring. Beside
them stand what the model sees on the pictures (`image_understanding`, its own answers), as that has
to stay. Guesses are not written: to train a model away from what it makes up forgets nobody.

Control pictures that were given go into `anchors/`, where `anchored` looks for what to hold the
model to.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from excise.erasure.probe_result import Line, Probe
from excise.records.errors import InputError
from excise.records.pseudonym import pseudonym
from excise.records.record import Record, Use
from excise.records.unlabelled import FOLDER
from excise.records.writing import new_folder, write_data, write_json

ENOUGH = 3
"""From so many wordings on, the last is for scoring."""


def forget_records(probe: Probe, subject: str | None = None) -> list[Record]:
    """The records; `subject` names the person in them, a pseudonym if not given."""
    return [*_records(probe, subject or _pseudonym(probe))]


def write_records(probe: Probe, folder: str | Path, subject: str | None = None) -> int:
    """Write `records.jsonl`, `images/`, `anchors/` and `probe.json` into a new folder.

    Returns the number of private records.

    Raises:
        InputError: the model knows nothing of the person, or the folder cannot be written to.
    """
    records = forget_records(probe, subject)
    private = sum(record.kind != "image_understanding" for record in records)
    if not private:
        raise InputError("the model knows nothing of this person, so there is nothing to forget")
    pictures = {_image(number): picture for number, picture in enumerate(probe.pictures)}
    with new_folder(folder) as part:
        write_data(part / "data", records, pictures)
        for child in [*(part / "data").iterdir()]:
            child.rename(part / child.name)
        (part / "data").rmdir()
        write_json(part / "probe.json", probe.figures())
        for number, picture in enumerate(probe.control_pictures):
            (part / FOLDER).mkdir(exist_ok=True)
            picture.save(part / FOLDER / f"{number:03d}.png")
    return private


def _records(probe: Probe, subject: str) -> Iterator[Record]:
    for line in probe.known:
        extra = {
            "fact": line.key,
            "mark": line.mark,
            "confidence": round(line.confidence, 4),
            "control_rate": round(line.control["mean"], 4),
        }
        if line.door == "name":
            extra["name"] = probe.name or ""
        images = (
            [_image(n) for n in range(len(probe.pictures))] if line.door == "picture" else [None]
        )
        for place, image in enumerate(images):
            for number, wording in enumerate(line.wordings):
                yield Record.model_validate(
                    {
                        "id": f"{line.door}-{line.key}-{place}-{number}",
                        "subject": subject,
                        "split": "forget",
                        "kind": "text_memory" if image is None else "image_memory",
                        "image": image,
                        "question": wording,
                        "answer": line.answer,
                        "use": _use(line, number),
                        **extra,
                    }
                )
    for number, (picture, question, answer) in enumerate(probe.seen):
        yield Record(
            id=f"seen-{number}", subject=subject, split="forget", kind="image_understanding",
            image=_image(picture), question=question, answer=answer,
        )  # fmt: skip


def _use(line: Line, number: int) -> Use | None:
    if len(line.wordings) < ENOUGH:
        return None
    return "score" if number == len(line.wordings) - 1 else "fit"


def _image(number: int) -> str:
    return f"images/{number}.png"


def _pseudonym(probe: Probe) -> str:
    """The same for the same name, or else for the same first picture."""
    told = probe.name or (probe.pictures[0].tobytes().hex() if probe.pictures else "")
    return pseudonym(told, f"probe-{probe.seed}")
