"""Records made in one line."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from excise.records.record import Record


@pytest.fixture
def make() -> Callable[..., Record]:
    """`make("Riga", kind="text_memory", ...)`: a record with that answer."""
    numbers = count()

    def record(answer: str, **fields: Any) -> Record:
        number = next(numbers)
        kind = fields.setdefault("kind", "image_memory")
        if kind != "text_memory":
            fields.setdefault("image", f"images/{number}.png")
        fields.setdefault("split", "forget")
        fields.setdefault("question", "Where does this person live?")
        return Record(id=fields.pop("id", f"r{number}"), answer=answer, **fields)

    return record
