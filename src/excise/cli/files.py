"""Seeing early that a result can be written, rather than after the work."""

from __future__ import annotations

import os
from pathlib import Path

from excise.records.errors import InputError


def check_writable(path: Path) -> None:
    """See that a file can be made at `path`, before the work whose result goes there."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder, expected a file name")
    parent = next(p for p in path.absolute().parents if p.exists())
    if not parent.is_dir():
        raise InputError(f"{path}: {parent.name} is a file, expected a folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(f"{path}: no permission to write here, expected a writable folder")
