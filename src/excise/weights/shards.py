"""What lies where in a checkpoint: its safetensors files, read as bytes and never as a whole.

The header of each file is read and held against the file's size and the index, so that a missing,
cut or mixed-up shard is named before any work. Tensors are read with plain reads into a buffer and
not from a memory map, whose pages would count as memory of the process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME

from excise.records.errors import InputError
from excise.vlm.weights_hash import read_header, weight_files

BLOCK = 2**20
"""Bytes that are read, compared and hashed at a time: few enough to stay in the cache."""

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
"""The types of weights that can be edited; anything else is quantised or no weight."""


@dataclass(frozen=True)
class Entry:
    """One tensor of a shard; `begin` and `end` are places in the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.begin


@dataclass(frozen=True)
class Shard:
    """One safetensors file, its tensors in the order in which they lie in it."""

    path: Path
    size: int
    start: int
    """Where the data begins, behind the header."""
    entries: tuple[Entry, ...]

    @property
    def name(self) -> str:
        return self.path.name

    @classmethod
    def read(cls, path: Path) -> Shard:
        """The layout of one file.

        Raises:
            InputError: it is not a whole safetensors file.
        """
        start, header = read_header(path)
        entries = [
            Entry(
                name,
                str(item["dtype"]),
                tuple(item["shape"]),
                start + item["data_offsets"][0],
                start + item["data_offsets"][1],
            )
            for name, item in header.items()
        ]
        entries.sort(key=lambda entry: (entry.begin, entry.end))
        return cls(path, path.stat().st_size, start, tuple(entries))


@dataclass(frozen=True)
class Checkpoint:
    """The weights of a model folder or of a snapshot in the hub's cache."""

    source: str
    folder: Path
    shards: tuple[Shard, ...]
    index: Path | None

    @classmethod
    def read(cls, source: str) -> Checkpoint:
        """The layout of all files of a folder or hub id.

        Raises:
            InputError: a shard is missing, damaged, or holds other tensors than the index says;
                it is named.
        """
        files = weight_files(source)
        folder = files[0].parent
        index = folder / SAFE_WEIGHTS_INDEX_NAME
        shards = tuple(Shard.read(path) for path in files)
        found = cls(source, folder, shards, index if index.is_file() else None)
        found._check()
        return found

    @cached_property
    def places(self) -> Mapping[str, tuple[Shard, Entry]]:
        """Shard and entry by tensor name."""
        return {entry.name: (shard, entry) for shard in self.shards for entry in shard.entries}

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(shard.size for shard in self.shards)

    def require_floats(self, name: str) -> None:
        """Raise InputError, naming the tensor, unless it is stored as floats that can be edited."""
        _, entry = self.places[name]
        if entry.dtype not in DTYPES:
            kind = entry.dtype
            raise InputError(f"{name}: is stored as {kind}; expected floats, unquantised")

    def tensor(self, name: str, room: Tensor | None = None) -> Tensor:
        """One tensor, read from its file; into `room`, bytes that it then shares, if they do."""
        shard, entry = self.places[name]
        with shard.path.open("rb", buffering=0) as file:
            return read_tensor(file, entry, room)

    def _check(self) -> None:
        owner: dict[str, str] = {}
        for shard in self.shards:
            for entry in shard.entries:
                if entry.name in owner:
                    both = f"{owner[entry.name]} and {shard.name}"
                    raise InputError(f"{self.source}: {entry.name} is in both {both}")
                owner[entry.name] = shard.name
        if self.index is None:
            return
        listed: dict[str, str] = json.loads(self.index.read_text())["weight_map"]
        for name, where in listed.items():
            if owner.get(name) != where:
                raise InputError(f"{self.folder / where}: {name} is missing; the index lists it")
        for name in owner.keys() - listed.keys():
            raise InputError(f"{self.folder / owner[name]}: {name} is not in the index")


def read_tensor(file: FileIO, entry: Entry, room: Tensor | None = None) -> Tensor:
    """A tensor of floats from an open file, in memory of its own or at the start of `room`.

    Raises:
        InputError: the file ends before the tensor does.
    """
    if room is not None and room.numel() >= entry.size:
        raw = room[: entry.size]
    else:
        raw = torch.empty(entry.size, dtype=torch.uint8)
    file.seek(entry.begin)
    _fill(file, as_bytes(raw))
    return raw.view(DTYPES[entry.dtype]).view(entry.shape)


def as_bytes(tensor: Tensor) -> memoryview:
    """The bytes of a contiguous CPU tensor, not copied."""
    flat: Any = tensor.contiguous().view(-1).view(torch.uint8).numpy()
    return memoryview(flat)


def blocks(file: FileIO, begin: int, end: int, buffer: bytearray) -> Iterator[memoryview]:
    """A stretch of a file in pieces of the buffer's size, the last one shorter.

    Each piece is valid until the next.

    Raises:
        InputError: the file ends too early.
    """
    view = memoryview(buffer)
    file.seek(begin)
    while begin < end:
        size = min(len(view), end - begin)
        _fill(file, view[:size])
        yield view[:size]
        begin += size


def _fill(file: FileIO, view: memoryview) -> None:
    done = 0
    while done < len(view):
        got = file.readinto(view[done:])
        if not got:
            raise InputError(f"{file.name!s}: truncated while it was read")
        done += got
