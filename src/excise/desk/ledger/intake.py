"""A submission, checked: one person, records that agree, a deadline that can still be met."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

from excise.desk.ledger.contradictions import refuse_contradictions
from excise.desk.ledger.deadlines import MOST, months_after
from excise.desk.ledger.entities import Submission
from excise.records.data import Data
from excise.records.errors import InputError
from excise.records.pictures import check_picture
from excise.records.record import Record

PERSON, PICTURES = "person.json", "pictures"
"""What lies in the vault beside `records.jsonl` and its pictures."""


@dataclass(frozen=True)
class Content:
    """What goes into the vault. Clear text."""

    subject: str
    name: str | None
    data: Data | None
    pictures: tuple[Path, ...]

    @property
    def came_with(self) -> dict[str, int]:
        records = self.data.records if self.data else ()
        shown = {record.image for record in records if record.image}
        return {
            "records": len(records),
            "pictures": len(shown) + len(self.pictures),
            "name": int(self.name is not None),
        }

    def pack(self, tar: tarfile.TarFile) -> None:
        """Into a tar: a data folder, and who it is about. Picture files stay as they are."""
        _add(tar, PERSON, json.dumps({"subject": self.subject, "name": self.name}).encode())
        for number, path in enumerate(self.pictures, 1):
            content = _content(path, f"picture {number}")
            _add(tar, f"{PICTURES}/{number}{path.suffix.lower()}", content)
        if self.data is None:
            return
        lines = [json.dumps(r.model_dump(mode="json")) + "\n" for r in self.data.records]
        _add(tar, "records.jsonl", "".join(lines).encode())
        for image in sorted({r.image for r in self.data.records if r.image}):
            content = _content(self.data.picture_source(image), "data: a picture")
            _add(tar, PurePosixPath(image.replace("\\", "/")).as_posix(), content)


def content_of(submission: Submission) -> Content:
    """The person's part of what came in.

    Raises:
        InputError: nobody, or several people; records that contradict each other; no picture.
    """
    records = () if submission.data is None else submission.data.records
    mine, subject = _of_one_person(records, submission.subject, submission.name)
    refuse_contradictions(mine)
    for number, path in enumerate(submission.pictures, 1):
        try:
            check_picture(path)
        except ValueError as reason:
            raise InputError(f"picture {number}: {reason}") from None
    data = None
    if submission.data is not None:
        data = Data(submission.data.folder, tuple(mine), submission.data.embedded)
    return Content(subject, submission.name, data, submission.pictures)


def dates_of(submission: Submission, today: date) -> tuple[date, date]:
    """When it was received and when it has to be answered.

    Raises:
        InputError: received in the future, or the deadline is past or later than the law allows.
    """
    received = submission.received or today
    if received > today:
        raise InputError(f"received: {received} is in the future, expected {today} or before")
    deadline = submission.deadline or months_after(received, 1)
    if deadline < today and not submission.late:
        raise InputError(
            f"deadline: {deadline} is past, expected {today} or later, or leave to be late"
        )
    if deadline < received or deadline > (last := months_after(received, 1 + MOST)):
        raise InputError(
            f"deadline: {deadline}, expected between {received} and {last}"
            if deadline >= received
            else f"deadline: {deadline} is before the day it was received, {received}"
        )
    return received, deadline


def _of_one_person(
    records: Sequence[Record], subject: str | None, name: str | None
) -> tuple[list[Record], str]:
    forget = [record for record in records if record.split == "forget"]
    people = sorted({record.subject for record in forget if record.subject})
    if records and not forget:
        raise InputError('data: no records of split "forget", expected those of the person')
    if subject is None:
        if len(people) > 1:
            raise InputError(
                f'data: {len(people)} people in split "forget", expected one, or a subject'
            )
        subject = people[0] if people else name
        if subject is None or not subject.strip():
            raise InputError("subject: missing, expected records with one, a subject or a name")
        return forget, subject
    if not subject.strip():
        raise InputError("subject: is empty, expected who the request is about")
    mine = [record for record in forget if record.subject == subject or not people]
    if forget and not mine:
        raise InputError('subject: none of the records in split "forget" are about that person')
    return mine, subject


def _content(source: Path | bytes, what: str) -> bytes:
    try:
        return source if isinstance(source, bytes) else source.read_bytes()
    except OSError as error:  # without the path: people's names stand in file names
        raise InputError(f"{what}: cannot be read ({error.strerror})") from None


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o600
    tar.addfile(info, io.BytesIO(content))


def kept_content(folder: Path, data: Data | None) -> Content:
    """What an unlocked folder holds, with other records in place of its own."""
    person: dict[str, Any] = json.loads((folder / PERSON).read_text())
    pictures = tuple(sorted((folder / PICTURES).iterdir())) if (folder / PICTURES).is_dir() else ()
    return Content(person["subject"], person["name"], data, pictures)
