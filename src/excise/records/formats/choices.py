"""A multiple-choice question as a record's fields.

The instruction's wording is ours: the benchmarks put examples of other people before the question,
which would need a model that takes several pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from excise.records.errors import InputError
from excise.records.tables import RawRow

BY_LETTER = "Answer with the letter of the right option only."
BLANK = "Say only what belongs into the blank."
BRIEFLY = "Say only the answer."


def choice_fields(
    row: RawRow,
    column: str,
    question: str,
    options: Mapping[str, Any],
    right: str,
    *,
    by_text: bool = False,
) -> dict[str, Any]:
    """`question`, `answer`, `task` and the keys that the metric `choice` reads.

    Args:
        right: the letter of the right option ("B", "B. Riga"), or its text.
        by_text: whether the model is to say the option's text instead of its letter.

    Raises:
        InputError: fewer than two options, or the right one is none of them.
    """
    choices = {str(k).strip(): str(v).strip() for k, v in options.items() if v is not None}
    letter = next(
        (
            key
            for key, text in choices.items()
            if right.strip() in (key, text) or right.split(".")[0].strip() == key
        ),
        None,
    )
    if len(choices) < 2 or letter is None:
        raise InputError.at(
            row.where,
            column,
            f"the right answer is none of the options {', '.join(choices) or '(there are none)'}",
        )
    if by_text:
        asked = f"{question}\nAnswer with one of: {'; '.join(choices.values())}"
    else:
        asked = "\n".join((question, *(f"{k}: {v}" for k, v in choices.items()), BY_LETTER))
    return {
        "question": asked,
        "answer": choices[letter] if by_text else letter,
        "task": "choice",
        "choices": choices,
        "letter": letter,
        "answered_by": "text" if by_text else None,
    }
