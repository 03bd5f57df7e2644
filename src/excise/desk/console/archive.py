"""A folder that comes as a zip, unpacked in memory and only as far as it is harmless.

Nothing is written to disk, so a path cannot lead anywhere; a path that tries is refused all the
same, since somebody meant it. What a zip says about its sizes is not believed: the bytes that come
out are counted.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from pathlib import PurePosixPath

from excise.records.errors import InputError

ENTRIES = 2_000
DIRECTORY = ENTRIES * 400  # bytes of the table of contents
_END = struct.Struct("<4s4H2LH")  # the end record of a zip without a comment


def unpacked(content: bytes, limit: int) -> dict[str, bytes]:
    """File contents by their path, folders left out; at most `limit` bytes together.

    Raises:
        InputError: it is no zip or a damaged one, has too many entries, an encrypted one, a link,
            a path twice or one that leads out, or unpacks to more than `limit` bytes.
    """
    _check_directory(content)
    files: dict[str, bytes] = {}
    left = limit
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for number, entry in enumerate(archive.infolist(), start=1):
                if entry.is_dir():
                    continue
                name = _checked_name(entry, number)
                if name in files:
                    raise InputError(f"zip: entry {number}: has the path of an earlier one")
                with archive.open(entry) as file:
                    inside = file.read(left + 1)
                left -= len(inside)
                if left < 0:
                    raise InputError(f"zip: unpacks to more than {limit // 2**20} MiB")
                files[name] = inside
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError):
        raise InputError(
            "zip: is damaged or of an unusual kind, expected an ordinary zip"
        ) from None
    return files


def _check_directory(content: bytes) -> None:
    """The table of contents is read whole by `zipfile`, so its size is checked before."""
    if content[-_END.size :][:4] != b"PK\x05\x06" or len(content) < _END.size:
        raise InputError("zip: is no zip file, expected one without a comment at its end")
    *_, entries, size, _offset, comment = _END.unpack(content[-_END.size :])
    if content[-_END.size - 20 :][:4] == b"PK\x06\x07" or comment:
        raise InputError("zip: is unusual, expected an ordinary zip")
    if entries > ENTRIES or size > DIRECTORY:
        raise InputError(f"zip: has too many entries, expected at most {ENTRIES}")


def _checked_name(entry: zipfile.ZipInfo, number: int) -> str:
    """The path inside the folder. Names may be personal, so errors give the entry's number."""
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise InputError(f"zip: entry {number}: its path leads out of the folder")
    if entry.flag_bits & 1:
        raise InputError(f"zip: entry {number}: is encrypted, expected plain files")
    mode = entry.external_attr >> 16
    if mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode):
        raise InputError(f"zip: entry {number}: is a link or a device, expected plain files")
    return path.as_posix()
