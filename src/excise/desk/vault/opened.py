"""Folders that hold clear data for as long as a block runs, and for no longer after a crash.

Each has a lock that its process holds; the system lets go of it when the process dies, however it
dies, and `sweep` removes what nobody holds any more.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from excise.records.errors import InputError


@contextmanager
def private_folder(below: Path) -> Iterator[Path]:
    """A new folder of mode 700; gone after the block.

    Raises:
        InputError: it cannot be made.
    """
    name = secrets.token_hex(8)
    folder, lock = below / name, below / f"{name}.lock"
    try:
        below.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise InputError(f"{below}: cannot be written to ({error.strerror})") from None
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        folder.mkdir(mode=0o700)  # after its lock: one without is nobody's
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.unlink(missing_ok=True)
        os.close(held)


def sweep(below: Path) -> int:
    """Remove what dead processes left; how many folders that were."""
    if not below.is_dir():
        return 0
    gone = 0
    for folder in [path for path in below.iterdir() if path.is_dir()]:
        lock = folder.with_name(f"{folder.name}.lock")
        try:
            held = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            continue  # another user's
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)
            gone += 1
        except BlockingIOError:
            pass  # somebody is at work in it
        finally:
            os.close(held)
    return gone
