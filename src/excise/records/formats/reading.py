"""One benchmark on its way into a data folder: what was asked for, and the records so far.

Pictures are written the moment a row comes, unchanged and named by their content, so that no more
than a batch of rows is ever in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image
from pydantic import ValidationError

from excise.records.errors import InputError
from excise.records.formats.people import People
from excise.records.formats.sources import Source
from excise.records.pictures import check_picture
from excise.records.record import Record
from excise.records.tables import RawRow
from excise.records.unlabelled import SUFFIXES

_SUFFIX = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "BMP": ".bmp", "GIF": ".gif"}


@dataclass(frozen=True)
class Wanted:
    """What the user chose; `docs/benchmarks.md` says what each format makes of it."""

    forget: str
    few: int | None = None
    unseen: int = 0
    retain: int | None = None
    test: bool = False
    images: Path | None = None
    seed: int = 0


@dataclass
class Reading:
    """One benchmark on its way into a data folder."""

    source: Source
    wanted: Wanted
    folder: Path
    records: list[Record] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _files: dict[str, Path] | None = None

    def people(self, forgotten: Sequence[str], retained: Sequence[str]) -> People:
        """The split of every person, as it was asked for."""
        w = self.wanted
        try:
            return People(
                forgotten, retained, few=w.few, unseen=w.unseen, retain=w.retain, seed=w.seed
            )
        except InputError as error:
            raise InputError(f"{self.source.given}: {error}") from None

    def picture(self, row: RawRow, column: str, value: Any) -> str:
        """Write a picture into the folder unchanged, and return its name there.

        Args:
            value: bytes, `datasets`' struct of bytes and path, or the name of a file, which is
                looked for below `images` or else below the source.

        Raises:
            InputError: no such file, no bytes, or no picture.
        """
        if isinstance(value, dict):
            value = value.get("bytes") or value.get("path")
        if isinstance(value, str):
            value = self.file(row, column, value).read_bytes()
        if not isinstance(value, bytes):
            raise InputError.at(row.where, column, "expected a picture (a struct with bytes)")
        try:
            check_picture(value)
        except ValueError as reason:
            raise InputError.at(row.where, column, str(reason)) from None
        with Image.open(BytesIO(value)) as image:
            suffix = _SUFFIX.get(image.format or "", ".png")
        name = f"images/{sha256(value).hexdigest()[:24]}{suffix}"
        target = self.folder / name
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(value)
        return name

    def file(self, row: RawRow, column: str, *names: str) -> Path:
        """The picture file of the first of these names that is there, in whatever folder.

        Raises:
            InputError: none is there.
        """
        root = self.wanted.images or self.source.root
        if self._files is None:
            found = (p for p in sorted(root.rglob("*")) if p.suffix.lower() in SUFFIXES)
            self._files = {path.name: path for path in reversed(list(found))}
        for name in names:
            path = self._files.get(PurePosixPath(name.replace("\\", "/")).name)
            if path is not None:
                return path
        raise InputError.at(
            row.where,
            column,
            f"no picture {PurePosixPath(names[0]).name} below {root}, expected the benchmark's "
            "pictures there (--images names another folder)",
        )

    def add(self, row: RawRow, **fields: Any) -> None:
        """Add a record; keys whose value is None are left out.

        Raises:
            InputError: it is no valid record.
        """
        try:
            made = {key: value for key, value in fields.items() if value is not None}
            self.records.append(Record.model_validate(made))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise InputError.at(row.where, place, first["msg"]) from None

    def optional(self, subset: str, what: str) -> bool:
        """Whether a subset is there that one can do without; if not, a note says what lacks."""
        if self.source.has(subset):
            return True
        self.notes.append(f"{subset} is not there: no {what}")
        return False
