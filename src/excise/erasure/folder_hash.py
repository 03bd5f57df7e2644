"""A fingerprint of a folder: the names, sizes and contents of all its files.

The order in which a file system lists them, dates and permissions do not count; hidden files do,
and empty folders do not. Contents are streamed: memory stays flat, time is one pass over the files
at 1 to 2 GB/s. Links to files count as the files. A link to a folder is refused, since its contents
may change where nobody looks; so is anything that is neither file nor folder.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from excise.erasure.canonical import canonical
from excise.records.errors import InputError


class Entry(TypedDict):
    """One file: its size and SHA-256 in hexadecimal."""

    bytes: int
    sha256: str


def folder_hash(folder: str | Path) -> str:
    """SHA-256 in hexadecimal over all files of a folder; see `listing_hash`, `listing`."""
    return listing_hash(listing(folder))


def listing_hash(files: Mapping[str, Entry]) -> str:
    """SHA-256 in hexadecimal over the canonical JSON `{name: {"bytes": n, "sha256": hex}}`."""
    return hashlib.sha256(canonical(files)).hexdigest()


def listing(folder: str | Path) -> dict[str, Entry]:
    """Every file of a folder by its path in it, with `/` between the parts.

    Raises:
        InputError: no such folder, an empty one, a file that cannot be read or whose name is no
            text, or something that is neither file nor folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    files: dict[str, Entry] = {}
    for place, inner, names in os.walk(folder, onerror=_cannot_read):
        for name in inner:
            if os.path.islink(Path(place, name)):
                raise InputError(f"{Path(place, name)}: is a link to a folder, expected a folder")
        for name in names:
            path = Path(place, name)
            files[_name(path, folder)] = file_entry(path)
    if not files:
        raise InputError(f"{folder}: is empty, expected files")
    return files


def file_entry(path: Path) -> Entry:
    """Size and hash of one file, read once.

    Raises:
        InputError: it is missing, no file, or cannot be read.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if not path.is_file():  # before it is opened: a pipe would never end
        raise InputError(f"{path}: expected a file")
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
            return Entry(bytes=file.tell(), sha256=digest.hexdigest())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def differences(wanted: Mapping[str, Entry], found: Mapping[str, Entry]) -> list[str]:
    """What is missing, extra or changed in `found`, a line each, in the order of names."""
    lines = []
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            lines.append(f"{name}: missing")
        elif name not in wanted:
            lines.append(f"{name}: extra")
        elif found[name] != wanted[name]:
            lines.append(f"{name}: changed")
    return lines


def _name(path: Path, folder: Path) -> str:
    name = path.relative_to(folder).as_posix()
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = name.encode("utf-8", "backslashreplace").decode()
        raise InputError(f"{folder}: the file name {shown} is not UTF-8 text") from None
    return name


def _cannot_read(error: OSError) -> None:
    raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from None
