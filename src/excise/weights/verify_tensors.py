"""A written checkpoint held against base and run, tensor by tensor, byte by byte.

What the run does not touch must be the base's bytes; what it touches must be what the engine makes
of the base's bytes, computed again for `excise verify`, read back while it is still in memory for
an export in the making; and it must differ from the base, unless the change itself is zero. No
tolerance: an export is the same numbers or it is not the same model.

Cost: both checkpoints read once, and the edit; memory as for writing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

import numpy as np

from excise.weights.shards import BLOCK, DTYPES, Checkpoint, Entry, Shard, as_bytes, blocks
from excise.weights.stream import Edited
from excise.weights.tiles import delta_tiles

Places = Mapping[str, tuple[Shard, Entry]]
InFile = tuple[FileIO, Entry]
"""A tensor in an open file."""


@dataclass
class Tally:
    """What was compared, and what was wrong."""

    tensors: int = 0
    edited: int = 0
    """Tensors that the run touches."""
    problems: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.tensors += other.tensors
        self.edited += other.edited
        self.problems += other.problems


def check(edited: Edited, export: Checkpoint) -> Tally:
    """Every tensor of an export, however it is sharded."""
    tally = Tally()
    for name in sorted(export.places.keys() - edited.base.places.keys()):
        tally.problems.append(f"{name}: extra, the base does not have it")
    for shard in edited.base.shards:
        tally.add(check_shard(edited, shard, export.places))
    return tally


def check_shard(edited: Edited, shard: Shard, places: Places, done: Collection[str] = ()) -> Tally:
    """The tensors of one shard of the base against those that were written.

    Those of `done` were compared when they were written, by `check_edited`.
    """
    tally = Tally()
    with shard.path.open("rb", buffering=0) as base:
        for entry in shard.entries:
            tally.tensors += 1
            tally.edited += entry.name in edited.by_key
            found = places.get(entry.name)
            if found is None:
                tally.problems.append(f"{entry.name}: missing")
                continue
            made_in, made = found
            if (made.dtype, made.shape) != (entry.dtype, entry.shape):
                kinds = f"{made.dtype} {made.shape}; the base has {entry.dtype} {entry.shape}"
                tally.problems.append(f"{entry.name}: is {kinds}")
                continue
            with made_in.path.open("rb", buffering=0) as export:
                if entry.name in done:
                    continue
                if entry.name in edited.by_key:
                    with edited.one_at_a_time:
                        data = as_bytes(edited.tensor(entry.name))
                        check_edited(edited, data, (base, entry), (export, made), tally)
                        del data
                elif not _same(base, entry, export, made):
                    tally.problems.append(
                        f"{entry.name}: differs from the base, and the run does not touch it"
                    )
    return tally


def check_edited(
    edited: Edited, data: memoryview, base: InFile, export: InFile, tally: Tally
) -> None:
    """A touched tensor: the export has the edit's bytes, and they are not the base's."""
    entry = base[1]
    width = DTYPES[entry.dtype].itemsize
    wrong = sum(_differing(data, *export, width))
    if wrong:
        what = f"{wrong} of {entry.size // width} entries are not base + run"
        plain = " (it is the base's)" if _same(*base, *export) else ""
        tally.problems.append(f"{entry.name}: {what}{plain}")
    elif not any(_differing(data, *base, width)) and any(
        bool(tile.any())
        for module in edited.by_key[entry.name].modules.values()
        for _, tile in delta_tiles(edited.source, module, edited.spec)
    ):
        tally.problems.append(
            f"{entry.name}: unchanged, the run's change is lost in rounding to {entry.dtype}"
        )


def _same(base: FileIO, entry: Entry, export: FileIO, made: Entry) -> bool:
    left = blocks(base, entry.begin, entry.end, bytearray(min(BLOCK, entry.size)))
    right = blocks(export, made.begin, made.end, bytearray(min(BLOCK, made.size)))
    return all(_equal(ours, theirs) for ours, theirs in zip(left, right, strict=True))


def _differing(data: memoryview, file: FileIO, entry: Entry, width: int) -> Iterator[int]:
    """How many numbers of `width` bytes in memory differ from those in a file, block by block."""
    begin = 0
    for block in blocks(file, entry.begin, entry.end, bytearray(min(BLOCK, entry.size))):
        ours = data[begin : begin + len(block)]
        begin += len(block)
        differs = np.frombuffer(ours, f"u{width}") != np.frombuffer(block, f"u{width}")
        yield int(np.count_nonzero(differs))  # several times as fast as a sum of booleans


def _equal(left: memoryview, right: memoryview) -> bool:
    kind = np.uint64 if len(left) % 8 == 0 else np.uint8
    return np.array_equal(np.frombuffer(left, kind), np.frombuffer(right, kind))


def file_hash(path: Path) -> str:
    """SHA-256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        for block in blocks(file, 0, path.stat().st_size, bytearray(BLOCK)):
            digest.update(block)
    return digest.hexdigest()
