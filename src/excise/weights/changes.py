"""What a branch's folder in a run may hold: a LoRA as PEFT wrote it, or a sparse change.

The files say which; a folder that holds both is refused, since nobody could say which one counts.
"""

from __future__ import annotations

from pathlib import Path

from excise.records.errors import InputError
from excise.weights import delta, sparse
from excise.weights.delta import LowRank, read_adapter
from excise.weights.sparse import Sparse, read_sparse

Change = LowRank | Sparse
"""A change to one weight matrix: `shape`, `to`, `negated`, `dense`, `norm`."""

KINDS: tuple[tuple[str, str], ...] = (
    (delta.CONFIG, delta.WEIGHTS),
    (sparse.CONFIG, sparse.WEIGHTS),
)
"""The files of either kind."""


def read_changes(folder: Path) -> dict[str, LowRank] | dict[str, Sparse]:
    """The changes in a folder of either kind, by module.

    Raises:
        InputError: as `read_adapter` and `read_sparse`; or it holds both kinds.
    """
    return read_sparse(folder) if _files(folder) == KINDS[1] else read_adapter(folder)


def require_files(folder: Path) -> None:
    """See that the files of one kind are there, all of them.

    Raises:
        InputError: one is missing, or there are files of both kinds.
    """
    for name in _files(folder):
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: no such file; edit.json names it")


def _files(folder: Path) -> tuple[str, str]:
    found = [kind for kind in KINDS if any((folder / name).is_file() for name in kind)]
    if len(found) > 1:
        raise InputError(f"{folder}: holds a LoRA and a sparse change; expected one of them")
    return found[0] if found else KINDS[0]
