"""A fingerprint of a checkpoint's weights that does not depend on how they are sharded.

Taken over the tensors as stored, not as loaded, so that the same checkpoint has the same hash on
every device and at every precision. The safetensors header is read here (eight bytes of length,
JSON, then the data), so the bytes are hashed straight from the memory map: memory stays flat, time
is one pass over the files at about 1 GB/s.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import struct
from collections.abc import Iterable
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
        shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
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
        start, header = _header(path)
        for name, entry in header.items():
            tensors[name] = (path, start, entry)
    digest = hashlib.sha256()
    maps: dict[Path, memoryview] = {}
    for name in sorted(tensors):
        path, start, entry = tensors[name]
        if path not in maps:
            with path.open("rb") as file:
                maps[path] = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        digest.update(json.dumps([name, entry["dtype"], entry["shape"]]).encode())
        begin, end = entry["data_offsets"]
        digest.update(maps[path][start + begin : start + end])
    return digest.hexdigest()


def _header(path: Path) -> tuple[int, dict[str, Any]]:
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
