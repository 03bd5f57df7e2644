"""Records that cannot both be true, found before they are trained on and scored against.

A fact about a person has one answer whatever picture shows them; what is seen in a picture has one
answer for that picture.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from excise.desk.ledger.people import normalised
from excise.records.errors import InputError
from excise.records.record import Record

_FACTS = ("image_memory", "text_memory")


def refuse_contradictions(records: Sequence[Record]) -> None:
    """Raises InputError: two records ask the same and answer it differently. Neither is quoted."""
    first: dict[tuple[str | None, str | None, str], tuple[int, str]] = {}
    for number, record in enumerate(records, 1):
        if record.task != "question":
            continue  # a picture has many right captions
        picture = None if record.kind in _FACTS else record.image
        asked = (record.subject, picture, _plain(record.question))
        answer = _plain(record.answer)
        before, said = first.setdefault(asked, (number, answer))
        if said != answer:
            raise InputError(
                f"data: records {before} and {number} of the person ask the same question and "
                "answer it differently, expected one answer"
            )


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", normalised(text)))
