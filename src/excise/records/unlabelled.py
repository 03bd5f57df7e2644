"""Unlabelled material: pictures and names that nobody has said anything about.

A method may use it to see how the untouched model behaves off the forget set. It lies in a folder
of its own, by custom `anchors/` in the data folder: any pictures, and `names.txt`, a name a line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from excise.records.errors import InputError
from excise.records.pictures import decode_picture

FOLDER = "anchors"
NAMES = "names.txt"
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"})


@dataclass(frozen=True)
class Unlabelled:
    """Picture files, sorted by name, and names in the file's order."""

    files: tuple[Path, ...] = ()
    names: tuple[str, ...] = ()

    def pictures(self, numbers: Iterator[int] | range) -> Iterator[Image.Image]:
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
        for path in self.files:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()


def read_unlabelled(folder: Path, *, required: bool) -> Unlabelled:
    """The pictures of a folder and its sub-folders, and the names in its `names.txt`.

    Args:
        required: whether the folder has to be there and to hold something.

    Raises:
        InputError: it has to and does not, or `names.txt` is not UTF-8.
    """
    if not folder.is_dir():
        if required:
            raise InputError(f"{folder}: no such folder, expected one with pictures")
        return Unlabelled()
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES)
    names: list[str] = []
    if (folder / NAMES).is_file():
        try:
            text = (folder / NAMES).read_text("utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{folder / NAMES}: is not UTF-8, expected a name a line") from None
        names = [line.strip() for line in text.splitlines() if line.strip()]
    if required and not (files or names):
        raise InputError(f"{folder}: holds no pictures and no {NAMES}, expected some")
    return Unlabelled(tuple(files), tuple(names))
