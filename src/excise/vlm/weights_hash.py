"""A fingerprint of a checkpoint's weights that does not depend on how they are sharded.

Taken over the tensors as stored, not as loaded, so that the same checkpoint has the same hash on
every device and at every precision. The safetensors header is read here (eight bytes of length,
JSON, then the data), and the bytes are hashed as they are read: memory stays flat (a map's pages
would count as the process's), time is one pass over the files at 1 to 2 GB/s.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from typing import Any

from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME
from transformers.utils.hub import cached_file

from excise.records.errors import InputError


def weight_files(source: str) -> list[Path]:
    """The safetensors files of a local folder or a hub id, as its index lists them.

    Raises:
        InputError: there are none.
    """
    index = _file(source, SAFE_WEIGHTS_INDEX_NAME)
    if index is not None:
        try:
            shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        except (OSError, ValueError, KeyError, AttributeError):
            raise InputError(f"{index}: broken, expected an index with weight_map") from None
        found = [(name, _file(source, name)) for name in shards]
    else:
        found = [(SAFE_WEIGHTS_NAME, _file(source, SAFE_WEIGHTS_NAME))]
    for name, path in found:
        if path is None:
            raise InputError(f"{source}: {name} is missing, expected weights as safetensors")
    return [path for _, path in found if path is not None]


def hash_weights(files: Iterable[Path]) -> str:
    """SHA-256 in hexadecimal over (name, dtype, shape, bytes) of every tensor, sorted by name.

    Raises:
        InputError: a file is not a whole safetensors file.
    """
    tensors: dict[str, tuple[Path, int, dict[str, Any]]] = {}
    for path in files:
        start, header = read_header(path)
        for name, entry in header.items():
            tensors[name] = (path, start, entry)
    digest = hashlib.sha256()
    view = memoryview(bytearray(4 * 2**20))
    opened: dict[Path, FileIO] = {}
    with ExitStack() as stack:
        for name in sorted(tensors):
            path, start, entry = tensors[name]
            if path not in opened:
                opened[path] = stack.enter_context(path.open("rb", buffering=0))
            digest.update(json.dumps([name, entry["dtype"], entry["shape"]]).encode())
            begin, end = entry["data_offsets"]
            opened[path].seek(start + begin)
            left = end - begin
            while left:
                got = opened[path].readinto(view[: min(left, len(view))])
                if not got:
                    raise InputError(f"{path}: truncated inside {name}")
                digest.update(view[:got])
                left -= got
    return digest.hexdigest()


def read_header(path: Path) -> tuple[int, dict[str, Any]]:
    """Where the data of a safetensors file begins, and the entry of each tensor by its name.

    Raises:
        InputError: it is not a whole safetensors file.
    """
    broken = InputError(f"{path}: truncated or damaged, expected a whole safetensors file")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if 8 + length > size:
                raise broken
            header: dict[str, Any] = json.loads(file.read(length))
    except (OSError, struct.error, ValueError):
        raise broken from None
    header.pop("__metadata__", None)
    last = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if 8 + length + last != size:
        raise broken
    return 8 + length, header


def _file(source: str, name: str) -> Path | None:
    if Path(source).is_dir():
        path = Path(source) / name
        return path if path.is_file() else None
    try:
        found = cached_file(source, name, _raise_exceptions_for_missing_entries=False)
    except OSError:
        return None
    return None if found is None else Path(found)
