"""A written checkpoint held against base and run, tensor by tensor, byte by byte.

What the run does not touch must be the base's bytes; what it touches must be what the engine makes
of the base's bytes now, computed again; and it must differ from the base, unless the change itself
is zero. No tolerance: an export is the same numbers or it is not the same model.

Cost: both checkpoints read once, the edit computed once; memory as for writing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

import numpy as np
import torch

from excise.weights.shards import BLOCK, DTYPES, Checkpoint, Entry, Shard, as_bytes, blocks
from excise.weights.stream import Edited
from excise.weights.tiles import delta_tiles

Places = Mapping[str, tuple[Shard, Entry]]


@dataclass
class Tally:
    """What was compared, and what was wrong."""

    tensors: int = 0
    edited: int = 0
    """Tensors that the run touches."""
    entries_changed: int = 0
    """Numbers in them that differ from the base's."""
    problems: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.tensors += other.tensors
        self.edited += other.edited
        self.entries_changed += other.entries_changed
        self.problems += other.problems


def check(edited: Edited, export: Checkpoint) -> Tally:
    """Every tensor of an export, however it is sharded."""
    tally = Tally()
    for name in sorted(export.places.keys() - edited.base.places.keys()):
        tally.problems.append(f"{name}: extra, the base does not have it")
    for shard in edited.base.shards:
        tally.add(check_shard(edited, shard, export.places))
    return tally


def check_shard(edited: Edited, shard: Shard, places: Places) -> Tally:
    """The tensors of one shard of the base against those that were written."""
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
                if entry.name in edited.by_key:
                    _check_edited(edited, base, entry, export, made, tally)
                elif not _same(base, entry, export, made):
                    tally.problems.append(
                        f"{entry.name}: differs from the base, and the run does not touch it"
                    )
    return tally


def _check_edited(
    edited: Edited, base: FileIO, entry: Entry, export: FileIO, made: Entry, tally: Tally
) -> None:
    width = torch.empty((), dtype=DTYPES[entry.dtype]).element_size()
    with edited.one_at_a_time:
        expected = edited.tensor(entry.name)
        data = as_bytes(expected)
        wrong = _differing(data, export, made, width)
        changed = _differing(data, base, entry, width)
        del data, expected
    tally.entries_changed += changed
    if wrong:
        what = f"{wrong} of {entry.size // width} entries are not base + run"
        plain = " (it is the base's)" if _same(base, entry, export, made) else ""
        tally.problems.append(f"{entry.name}: {what}{plain}")
    elif not changed and any(
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


def _differing(data: memoryview, file: FileIO, entry: Entry, width: int) -> int:
    """How many numbers of `width` bytes in memory differ from those in a file, bit by bit."""
    count, begin = 0, 0
    for block in blocks(file, entry.begin, entry.end, bytearray(min(BLOCK, entry.size))):
        ours = data[begin : begin + len(block)]
        begin += len(block)
        differs = np.frombuffer(ours, f"u{width}") != np.frombuffer(block, f"u{width}")
        count += int(np.count_nonzero(differs))  # several times as fast as a sum of booleans
    return count


def _equal(left: memoryview, right: memoryview) -> bool:
    return np.array_equal(np.frombuffer(left, np.uint8), np.frombuffer(right, np.uint8))


def file_hash(path: Path) -> str:
    """SHA-256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        for block in blocks(file, 0, path.stat().st_size, bytearray(BLOCK)):
            digest.update(block)
    return digest.hexdigest()
