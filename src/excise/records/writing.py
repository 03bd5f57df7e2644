"""Writing that leaves a whole file or folder, or nothing: write beside, then rename.

A full disk, a folder without permission or an interruption never leaves something half-written
under the final name. Costs one extra directory entry and an fsync a file.
"""

from __future__ import annotations

import errno
import json
import math
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from excise.records.errors import InputError
from excise.records.record import Record

_REASONS = {
    errno.ENOSPC: "the disk is full, expected room to write",
    errno.EDQUOT: "the disk quota is used up, expected room to write",
    errno.EFBIG: "the file would be larger than allowed here",
    errno.EACCES: "no permission to write here, expected a writable folder",
    errno.EPERM: "no permission to write here, expected a writable folder",
    errno.EROFS: "the file system is read-only, expected a writable folder",
    errno.ENOTDIR: "a parent is a file, expected a folder",
    errno.EEXIST: "a parent is a file, expected a folder",
}
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
_NO_ROOM = ("No space left on device", "os error 28")


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as indented UTF-8 JSON, whole or not at all.

    NaN and infinities, which JSON does not have, become null.

    Raises:
        InputError: the place cannot be written to (full disk, no permission, ...).
    """
    text = json.dumps(_finite(value), ensure_ascii=False, indent=2, allow_nan=False)
    write_text(path, text + "\n")


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all; missing parent folders are made.

    Raises:
        InputError: the place cannot be written to.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder, expected a file name")
    part = _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())  # else a crash may leave the new name on an empty file
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from None


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder beside `path` that becomes `path` when the block ends well.

    If the block raises (Ctrl-C too) it is removed, and nothing is left under `path`.

    Raises:
        InputError: `path` exists and is not an empty folder, or cannot be written to, at the start
            or at any moment inside the block.
    """
    path = Path(path)
    if path.is_dir():
        if os.path.ismount(path):
            raise InputError(f"{path}: is a mount point, expected a folder below it")
        if any(path.iterdir()):
            raise InputError(f"{path}: exists and is not empty, expected a new or empty folder")
    elif path.exists():
        raise InputError(f"{path}: is a file, expected a new or empty folder")
    part = _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.mkdir()
    except OSError as error:
        raise _cannot_write(path, error) from None
    try:
        yield part
    except InputError as error:  # raised by a writer inside, which knows only the temporary name
        shown = str(error).replace(str(part), str(path))
        raise InputError(shown) from error
    except Exception as error:
        # safetensors and torch report a full disk by exceptions of their own, known by their text
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            raise _cannot_write(path, error) from error
        if any(sign in str(error) for sign in _NO_ROOM):
            raise _cannot_write(path, OSError(errno.ENOSPC, "")) from error
        raise
    else:
        try:
            os.replace(part, os.path.abspath(path))
        except OSError as error:
            raise _cannot_write(path, error) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_data(
    folder: str | Path, records: Iterable[Record], pictures: Mapping[str, Image.Image]
) -> None:
    """Write a data folder: `records.jsonl`, one record a line, and the pictures.

    `pictures` are keyed by `Record.image`; the file's suffix chooses the format (.png is lossless).

    Raises:
        InputError: the folder exists and is not empty or cannot be written to, a record's picture
            is not among `pictures`, or a suffix is no picture format.
    """
    with new_folder(folder) as part:
        lines: list[str] = []
        saved: set[str] = set()
        for record in records:
            lines.append(_line(record))
            if record.image is None or record.image in saved:
                continue
            if record.image not in pictures:
                raise InputError(
                    f'{Path(folder) / record.image}: picture of record "{record.id}" is missing, '
                    "expected one among the pictures to write"
                )
            target = part / record.image
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                pictures[record.image].save(target)
            except ValueError:
                raise InputError(
                    f'{Path(folder) / record.image}: suffix "{target.suffix}" is no picture '
                    "format, expected .png or .jpg"
                ) from None
            saved.add(record.image)
        write_text(part / "records.jsonl", "".join(lines))


def _line(record: Record) -> str:
    content = record.model_dump(mode="json")
    for name in ("task", "use"):  # rarely set: the plain record stays as short as in the docs
        if content[name] == type(record).model_fields[name].default:
            del content[name]
    return json.dumps(_finite(content), ensure_ascii=False) + "\n"


def _beside(path: Path) -> Path:
    path = Path(os.path.abspath(path))  # "." and ".." have no name of their own
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


def _cannot_write(path: Path, error: OSError) -> InputError:
    reason = _REASONS.get(error.errno or 0, f"cannot be written ({error.strerror or error})")
    return InputError(f"{path}: {reason}")


def _finite(value: object) -> object:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
