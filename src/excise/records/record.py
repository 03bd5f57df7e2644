"""A record: one question and its answer, about at most one picture and at most one person.

Frozen, so that a record can be shared between training and scoring without either changing it.
Keys that excise does not know are kept (`record.model_extra`), because people annotate their data.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

Split = Literal["forget", "few", "retain", "unseen"]
Kind = Literal["image_memory", "text_memory", "image_understanding", "general"]
Task = Literal["question", "caption", "grounding", "choice", "cloze"]
Use = Literal["fit", "score"]

SPLITS: tuple[Split, ...] = get_args(Split)
KINDS: tuple[Kind, ...] = get_args(Kind)

NEEDS_PICTURE: frozenset[Kind] = frozenset({"image_memory", "image_understanding"})


class Record(BaseModel):
    """One line of `records.jsonl`.

    `image` is a POSIX path relative to the data folder. `task` names a way of asking with a metric
    of its own. `use` keeps a record for one side: "fit" is trained on and never scored, "score" is
    only scored, None is both.

    Raises:
        pydantic.ValidationError: a field is missing, empty, of an unknown value, or the picture
            does not go with the kind. `records.reading` turns it into an `InputError`.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    id: str
    subject: str | None = None
    split: Split
    kind: Kind
    image: str | None = Field(default=None, validate_default=True)
    question: str
    answer: str
    task: Task = "question"
    use: Use | None = None

    @property
    def fits(self) -> bool:
        """Whether a method may train on it: only the splits that a method may see at all."""
        return self.use != "score" and self.split in ("forget", "few")

    @property
    def scores(self) -> bool:
        """Whether it is scored."""
        return self.use != "fit"

    @field_validator("id", "question", "answer", "subject", "image")
    @classmethod
    def _not_empty(cls, value: str | None) -> str | None:
        if value is not None and not value.strip():
            raise PydanticCustomError("empty", "is empty, expected some text")
        return value

    @field_validator("image")
    @classmethod
    def _inside_the_folder(cls, value: str | None) -> str | None:
        if value is None:
            return None
        # Windows separators too: a path that is harmless on one system must not escape on another.
        path = PurePosixPath(value.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or path.as_posix()[1:2] == ":":
            raise PydanticCustomError(
                "outside", "leads out of the data folder, expected a path below it"
            )
        return value

    @field_validator("image")
    @classmethod
    def _goes_with_the_kind(cls, value: str | None, info: ValidationInfo) -> str | None:
        kind = info.data.get("kind")
        if kind in NEEDS_PICTURE and value is None:
            raise PydanticCustomError(
                "no_picture", "missing, a record of kind {kind} needs a picture", {"kind": kind}
            )
        if kind == "text_memory" and value is not None:
            raise PydanticCustomError(
                "picture", "expected null, a record of kind text_memory has no picture"
            )
        return value
