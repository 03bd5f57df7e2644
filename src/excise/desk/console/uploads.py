"""A request as a form brings it: fields, and files that strangers made.

Everything is read into memory, at most `Settings.largest_upload` of it: a temporary file of a
person's pictures would outlive the erasure on the disk's free blocks. Pictures are judged in
another process before anything of ours opens them. Then the files go, for as long as the ledger
takes to seal them, into the desk's folder for what is open (mode 700, in memory where the system
has a tmpfs), and `excise.read` checks them like any data folder.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

from fastapi import HTTPException, Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from excise.desk.console.archive import unpacked
from excise.desk.console.pictures import judged
from excise.desk.console.settings import Settings
from excise.desk.console.state import Console
from excise.desk.ledger.entities import Submission
from excise.desk.vault.opened import private_folder
from excise.records.data import Data
from excise.records.errors import InputError
from excise.records.reading import read

FILES, FIELDS, FIELD_BYTES = 200, 60, 16_384
RECORDS = "records.jsonl"
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_PICTURE_NAME = re.compile(r"[^/\\\x00-\x1f\x7f]{1,120}\.(png|jpe?g|webp)", re.IGNORECASE)
UNPACKED = 4  # a zip may unpack to so many times what an upload may have


@dataclass(frozen=True)
class Upload:
    """What came, in clear; its `repr` shows none of it."""

    fields: Mapping[str, list[str]] = field(repr=False)
    records: bytes | None = field(default=None, repr=False)
    pictures: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """By the name under which records speak of them."""

    def one(self, name: str) -> str | None:
        """The text of a field, None if it is missing or blank."""
        given = (self.fields.get(name) or [""])[0].strip()
        return given or None


@asynccontextmanager
async def form_of(request: Request, console: Console) -> AsyncIterator[FormData]:
    """A multipart form, read into memory, which it takes up for as long as the block.

    Raises:
        HTTPException: 415 for another kind of body, 400 for a broken one, 413 for a large one (from
            `BodyLimit`), 408 for a slow one, 503 while as many as may are being read.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise HTTPException(415, "body: expected multipart/form-data")
    if console.uploads >= console.settings.uploads_at_once:
        raise HTTPException(503, "too many uploads at once", headers={"retry-after": "5"})
    console.uploads += 1
    try:
        async with asyncio.timeout(console.settings.upload_seconds):
            form = await _InMemory(
                request.headers,
                request.stream(),
                max_files=FILES,
                max_fields=FIELDS,
                max_part_size=FIELD_BYTES,
            ).parse()
        yield form
    except MultiPartException as error:
        raise HTTPException(400, f"body: {error.message}") from None
    except TimeoutError:
        raise HTTPException(408, "body: took too long") from None
    finally:
        console.uploads -= 1


class _InMemory(MultiPartParser):
    spool_max_size = 2**40  # never to a file; the length of the body is limited before


async def upload_of(form: FormData, settings: Settings) -> Upload:
    """Sort a form into fields, records and pictures.

    Raises:
        InputError: both a zip and single files, two files of one name, or a zip that is refused.
    """
    fields: dict[str, list[str]] = {}
    sent: dict[str, list[UploadFile]] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if value.size:  # browsers send an empty file where none was chosen
                sent.setdefault(name, []).append(value)
        else:
            fields.setdefault(name, []).append(value)
    folder, lines, pictures = (sent.get(n, []) for n in ("folder", "records", "pictures"))
    if folder and (lines or pictures):
        raise InputError("folder: came with other files, expected a zip or single files")
    if len(folder) > 1 or len(lines) > 1:
        raise InputError("records: came twice, expected one file")
    if folder:
        content = await folder[0].read()
        files = await asyncio.to_thread(unpacked, content, settings.largest_upload * UNPACKED)
        return Upload(fields, *_sorted(files))
    found: dict[str, bytes] = {}
    for number, file in enumerate(pictures, start=1):
        name = PurePosixPath((file.filename or "").replace("\\", "/")).name
        if not _PICTURE_NAME.fullmatch(name):
            raise InputError(
                f"picture {number}: its name cannot be used, expected one that ends in "
                f"{', '.join(PICTURES)}"
            )
        if name in found:
            raise InputError(f"picture {number}: has the name of an earlier one")
        found[name] = await file.read()
    return Upload(fields, await lines[0].read() if lines else None, found)


def _sorted(files: Mapping[str, bytes]) -> tuple[bytes | None, dict[str, bytes]]:
    """Records and pictures of an unpacked folder, with the folder around them taken off."""
    lists = [path for path in files if PurePosixPath(path).name == RECORDS]
    if len(lists) > 1:
        raise InputError(f"zip: {len(lists)} files {RECORDS}, expected one")
    root = PurePosixPath(lists[0]).parent if lists else PurePosixPath(".")
    pictures = {
        PurePosixPath(path).relative_to(root).as_posix(): content
        for path, content in files.items()
        if path.lower().endswith(PICTURES) and PurePosixPath(path).is_relative_to(root)
    }
    return (files[lists[0]] if lists else None), pictures


@contextmanager
def submission(upload: Upload, open_folder: Path) -> Iterator[Submission]:
    """What the ledger takes; files lie in `open_folder` for as long as the block.

    Raises:
        InputError: a field is wrong, a picture or a record is refused, or nothing came.
    """
    fields = _fields(upload)
    if upload.records is None and not upload.pictures and not fields["name"]:
        raise InputError("records: nothing came, expected records, a zip, pictures or a name")
    numbered = {f"picture {n}": c for n, c in enumerate(upload.pictures.values(), start=1)}
    suffixes = dict(zip(upload.pictures, judged(numbered).values(), strict=True))
    with private_folder(open_folder) as folder:
        try:
            if upload.records is None:
                yield Submission(**fields, pictures=_loose(upload.pictures, suffixes, folder))
            else:
                yield Submission(**fields, data=_data(upload.records, upload.pictures, folder))
        except InputError as error:  # the folder's name says nothing to whoever sent the files
            error.args = (str(error).replace(f"{folder}/", "").replace(str(folder), "upload"),)
            raise


def _data(records: bytes, pictures: Mapping[str, bytes], folder: Path) -> Data:
    try:
        for name, content in pictures.items():
            # single files are spoken of as images/NAME by most who write records
            for place in {name, f"images/{name}"} if "/" not in name else {name}:
                target = folder / place
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
        (folder / RECORDS).write_bytes(records)
    except OSError as error:
        raise InputError(f"upload: its files cannot be laid out ({error.strerror})") from None
    return read(folder)


def _loose(
    pictures: Mapping[str, bytes], suffixes: Mapping[str, str], folder: Path
) -> tuple[Path, ...]:
    """Pictures without records, named by what is in them: a file name may be a person's."""
    paths = []
    for name, content in pictures.items():
        path = folder / f"{hashlib.sha256(content).hexdigest()[:24]}{suffixes[name]}"
        path.write_bytes(content)
        paths.append(path)
    return tuple(dict.fromkeys(paths))


def _fields(upload: Upload) -> dict[str, Any]:
    models = tuple(dict.fromkeys(m.strip() for m in upload.fields.get("models", []) if m.strip()))
    if not models:
        raise InputError("models: missing, expected the name of a registered model")
    entered = upload.one("entered")
    if entered not in (None, "base", "adapter"):
        raise InputError("entered: unknown value, expected base or adapter, or nothing")
    found: dict[str, Any] = {
        "models": models,
        "subject": upload.one("subject"),
        "name": upload.one("name"),
        "received": _day(upload, "received"),
        "deadline": _day(upload, "deadline"),
        "identified": _yes(upload, "identified"),
        "late": _yes(upload, "late"),
        "entered": entered,
    }
    basis = upload.one("legal_basis")
    return {**found, "legal_basis": basis} if basis else found


def _day(upload: Upload, name: str) -> date | None:
    text = upload.one(name)
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise InputError(f"{name}: expected a date such as 2026-11-25") from None


def _yes(upload: Upload, name: str) -> bool:
    return (upload.one(name) or "").lower() in ("yes", "true", "on", "1")
