"""Unlabelled material: pictures, names and questions that nobody has given an answer to.

A method may use it to see how the untouched model behaves off the forget set. It lies in a folder
of its own, by custom `anchors/` in the data folder: any pictures, in sub-folders or not;
`names.txt`, a name a line; and `questions.txt`, a line each of what can be asked of anyone who sees
the pictures of its folder, for skills that have to stay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from excise.records.errors import InputError
from excise.records.pictures import decode_picture

FOLDER = "anchors"
NAMES = "names.txt"
QUESTIONS = "questions.txt"
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"})


@dataclass(frozen=True)
class Unlabelled:
    """Picture files, sorted by name, names in the file's order, and questions by their folder."""

    files: tuple[Path, ...] = ()
    names: tuple[str, ...] = ()
    questions: Mapping[Path, tuple[str, ...]] = field(default_factory=dict)

    def asked(self, number: int) -> tuple[str, ...]:
        """The questions of a picture: those of the nearest folder above it that has any."""
        above = self.files[number].parents
        return next((self.questions[folder] for folder in above if folder in self.questions), ())

    def pictures(self, numbers: Iterable[int]) -> Iterator[Image.Image]:
        """Pictures by number, decoded in RGB one at a time.

        Raises:
            InputError: a file is no whole picture; it is named.
        """
        for number in numbers:
            path = self.files[number]
            try:
                yield decode_picture(path)
            except ValueError as reason:
                raise InputError(f"{path}: {reason}") from None

    def fingerprint(self) -> str:
        """SHA-256 over names and picture bytes, in hexadecimal."""
        digest = hashlib.sha256("\n".join(self.names).encode())
        for questions in self.questions.values():
            digest.update("\n".join(("", *questions)).encode())
        for path in self.files:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()


def read_unlabelled(folder: Path, *, required: bool) -> Unlabelled:
    """The pictures of a folder and its sub-folders, its `names.txt`, and every `questions.txt`.

    Args:
        required: whether the folder has to be there and to hold something.

    Raises:
        InputError: it has to and does not, or a text file is not UTF-8.
    """
    if not folder.is_dir():
        if required:
            raise InputError(f"{folder}: no such folder, expected one with pictures")
        return Unlabelled()
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES)
    names = _lines(folder / NAMES)
    questions = {path.parent: _lines(path) for path in sorted(folder.rglob(QUESTIONS))}
    if required and not (files or names):
        raise InputError(f"{folder}: holds no pictures and no {NAMES}, expected some")
    return Unlabelled(tuple(files), names, questions)


def _lines(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        return ()
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8, expected a line each") from None
    return tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
