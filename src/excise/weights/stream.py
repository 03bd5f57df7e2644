"""A checkpoint written anew with a run on it, shard after shard.

A shard keeps its header, so the copy has the same tensors at the same places: what the run does
not touch is copied by the system, between files, and only touched tensors pass through memory, one
at a time. A shard gets its name when it is whole; what is there under its name need not be written
again after an interruption. The source is opened for reading only.

Cost: one pass over the files; memory is the largest touched tensor, a few blocks and the tiles of
the edit.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from io import FileIO
from pathlib import Path
from threading import Lock

import torch
from torch import Tensor

from excise.records.errors import InputError
from excise.weights.edit import EditSpec
from excise.weights.products import Source
from excise.weights.shards import BLOCK, Checkpoint, Entry, Shard, as_bytes, blocks
from excise.weights.shards_names import Names, Piece
from excise.weights.tiles import edit_weight

_NOT_BETWEEN_FILES = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}


class Edited:
    """A checkpoint with a run on it, tensor by tensor as it is asked for."""

    def __init__(self, base: Checkpoint, names: Names, source: Source, spec: EditSpec) -> None:
        """Find every touched weight in the checkpoint.

        Raises:
            InputError: one is missing, tied, quantised or of another shape; it is named.
        """
        self.base, self.names, self.source, self.spec = base, names, source, spec
        self.pieces = names.pieces(source.shapes)
        self.by_key: Mapping[str, Piece] = {key: p for p in self.pieces for key in p.keys}
        self.one_at_a_time = Lock()
        """Held while a touched tensor is in memory, so that two threads never hold two."""
        for key in self.by_key:
            base.require_floats(key)
        # One for all: fresh memory for each tensor would cost as much time as reading it.
        largest = max(base.places[key][1].size for key in self.by_key)
        self._room = torch.empty(largest, dtype=torch.uint8)

    def touched(self, shard: Shard) -> list[Entry]:
        """The entries of a shard that the run changes, in the order of the file."""
        return [entry for entry in shard.entries if entry.name in self.by_key]

    def tensor(self, key: str) -> Tensor:
        """A stored tensor after the edit, in its own type; valid until the next is asked for.

        Raises:
            InputError: it would not be finite, or its conversion has no way back.
        """
        piece = self.by_key[key]
        room = self._room if len(piece.keys) == 1 else None
        stored = {name: self.base.tensor(name, room) for name in piece.keys}
        return self.names.edit(piece, stored, self._edit)[key]

    def _edit(self, module: str, weight: Tensor) -> Tensor:
        return edit_weight(weight, self.source, module, self.spec, out=weight)


Wrote = Callable[[FileIO, FileIO, Entry, memoryview], None]
"""Is told of each touched tensor: source, target (open for reading, too), entry, written bytes."""


def write_shard(edited: Edited, shard: Shard, folder: Path, wrote: Wrote) -> None:
    """Write one shard under its own name into `folder`; it appears whole or not at all."""
    part = folder / f"{shard.name}.part"
    with shard.path.open("rb", buffering=0) as source, part.open("w+b", buffering=0) as target:
        place = 0
        for entry in edited.touched(shard):
            copy(source, target, place, entry.begin)
            with edited.one_at_a_time:
                tensor = edited.tensor(entry.name)
                _write(target, as_bytes(tensor))
                wrote(source, target, entry, as_bytes(tensor))
                del tensor
            place = entry.end
            target.seek(place)
        copy(source, target, place, shard.size)
    os.replace(part, folder / shard.name)


def copy(source: FileIO, target: FileIO, begin: int, end: int) -> None:
    """Append `begin` to `end` of one file to another, inside the system where it can do that."""
    while begin < end:
        try:
            got = os.copy_file_range(source.fileno(), target.fileno(), end - begin, begin)
        except (AttributeError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in _NOT_BETWEEN_FILES:
                raise
            break
        if not got:
            raise InputError(f"{source.name!s}: truncated while it was read")
        begin += got
    if begin < end:
        for block in blocks(source, begin, end, bytearray(min(BLOCK, end - begin))):
            _write(target, block)


def _write(file: FileIO, data: memoryview) -> None:
    while data:
        data = data[file.write(data) :]
