"""The vault: a folder beside the ledger, with the ciphertext and the wrapped key of each item.

    vault/r-3f9a1c/data-5d0e.../data.enc    a tar, encrypted under a key of its own (`cipher.py`)
    vault/r-3f9a1c/data-5d0e.../key         that key, wrapped under the desk's (AES-256-GCM)

Neither is in the database: pictures are large, and a backup of the ledger holds no key that a
shredding could not reach. The ledger says which places count; a place that it does not know was
left by a process that was killed. Shredding overwrites the key, then deletes both; where a file
system keeps old blocks (snapshots, SSDs), what it keeps of the key opens nothing without the
desk's, so the folder belongs on a volume without snapshots.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from excise.desk.errors import Sealed
from excise.desk.vault.keys import DeskKey
from excise.desk.vault.opened import private_folder, sweep
from excise.records.errors import InputError

Pack = Callable[[tarfile.TarFile], None]
"""Puts the members into an open tar."""


@dataclass(frozen=True)
class Place:
    """Where an item lies and what its ciphertext is."""

    name: str
    sha256: str
    size: int


class Vault:
    """Items by request and part (`data`, `probes`)."""

    def __init__(self, folder: Path, opened: Path, key: DeskKey) -> None:
        self.folder, self.opened = folder, opened
        self._key = key.derived("vault")

    @contextmanager
    def filling(self) -> Iterator[None]:
        """Held from the first byte of an item until the ledger knows of it; see `strays`."""
        with self._lock(fcntl.LOCK_SH):
            yield

    def put(self, request: str, part: str, pack: Pack) -> Place:
        """Encrypt what `pack` gives into a new place.

        Raises:
            InputError: it cannot be written.
        """
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        from excise.desk.vault.cipher import Encrypting

        name = f"{part}-{secrets.token_hex(8)}"
        place = self.folder / request / name
        key, nonce, about = secrets.token_bytes(32), secrets.token_bytes(12), _about(request, name)
        try:
            place.mkdir(mode=0o700, parents=True)
            with _private(place / "data.enc") as file:
                hashing = _Hashing(file)
                out = Encrypting(cast("Any", hashing), key, about)
                with tarfile.open(fileobj=cast("Any", out), mode="w|", bufsize=2**16) as tar:
                    pack(tar)
                out.close()
            with _private(place / "key") as file:
                file.write(nonce + AESGCM(self._key).encrypt(nonce, key, about))
            _settle(place)
        except BaseException as error:
            self.destroy(request, name)
            if isinstance(error, OSError):
                raise InputError(f"{self.folder}: cannot be written ({error.strerror})") from None
            raise
        return Place(name, hashing.digest.hexdigest(), hashing.size)

    @contextmanager
    def open(self, request: str, name: str) -> Iterator[Path]:
        """The item's files in a private folder, for as long as the block.

        Raises:
            Sealed: the key is another one, or something was changed or is missing.
        """
        from excise.desk.vault.cipher import Damaged, Decrypting

        place = self.folder / request / name
        key = self._unwrapped(request, name)
        with private_folder(self.opened) as folder:
            try:
                with (place / "data.enc").open("rb") as file:
                    source = Decrypting(file, key, _about(request, name))
                    with tarfile.open(fileobj=cast("Any", source), mode="r|") as tar:
                        tar.extractall(folder, filter="data")
                    source.read()  # to the marked end
            except (Damaged, tarfile.TarError):
                raise Sealed(
                    f"{request}: its ciphertext was changed or cut off, expected it as it was "
                    "sealed (restore the vault's folder from a backup)"
                ) from None
            except FileNotFoundError:
                raise Sealed(f"{request}: its ciphertext is missing from the vault") from None
            yield folder

    def destroy(self, request: str, name: str) -> None:
        """Overwrite the key, then delete key and ciphertext; nothing, if they are gone already."""
        place = self.folder / request / name
        key = place / "key"
        if key.is_file():
            with key.open("r+b") as file:
                size = os.fstat(file.fileno()).st_size
                file.write(secrets.token_bytes(size))
                file.flush()
                os.fsync(file.fileno())
            key.unlink()
            _sync(place)
        shutil.rmtree(place, ignore_errors=True)
        if place.parent.is_dir() and not any(place.parent.iterdir()):
            place.parent.rmdir()

    def problem(self, request: str, name: str, sha256: str) -> str | None:
        """What is wrong with the ciphertext, seen without opening it. Reads all of it."""
        place = self.folder / request / name
        try:
            with (place / "data.enc").open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return "its ciphertext is missing"
        if found != sha256:
            return "its ciphertext was changed"
        return None if (place / "key").is_file() else "its key is missing"

    @contextmanager
    def strays(self) -> Iterator[list[tuple[str, str]]]:
        """All places (request, name), while nobody is filling one; none if somebody is."""
        with self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB) as alone:
            for request in self.folder.glob("r-*") if alone else ():
                with suppress(OSError):  # not empty; else one was killed before its place was made
                    request.rmdir()
            found = self.folder.glob("r-*/*") if alone else ()
            yield [(place.parent.name, place.name) for place in found if place.is_dir()]

    def sweep(self) -> int:
        """Remove unlocked folders of processes that are dead."""
        return sweep(self.opened)

    def _unwrapped(self, request: str, name: str) -> bytes:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            wrapped = (self.folder / request / name / "key").read_bytes()
            return AESGCM(self._key).decrypt(wrapped[:12], wrapped[12:], _about(request, name))
        except (InvalidTag, ValueError):
            raise Sealed(
                f"{request}: its key was wrapped under another desk key, or was changed; expected "
                "the key that this desk was made with"
            ) from None
        except OSError:
            raise Sealed(f"{request}: its key is missing from the vault") from None

    @contextmanager
    def _lock(self, how: int) -> Iterator[bool]:
        """Whether it was got; only with LOCK_NB may it not be."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            held = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be written to ({error.strerror})") from None
        try:
            try:
                fcntl.flock(held, how)
                got = True
            except BlockingIOError:
                got = False
            yield got
        finally:
            os.close(held)


class _Hashing:
    """Passes on what is written and takes its hash on the way."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out, self.digest, self.size = out, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.size += len(data)
        return self._out.write(data)


@contextmanager
def _private(path: Path) -> Iterator[IO[bytes]]:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _settle(place: Path) -> None:
    for folder in (place, place.parent, place.parent.parent):
        _sync(folder)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _about(request: str, name: str) -> bytes:
    """What ciphertext and key are bound to: they open nothing at another place."""
    return f"{request}/{name}".encode()
