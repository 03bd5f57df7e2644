"""AES-256-GCM over a stream of any length, a megabyte at a time.

The STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár, CRYPTO 2015): each chunk is sealed
under the nonce `prefix (7) | number (4) | last (1)`, so that chunks can be neither changed nor
moved, and the end cannot be cut off. Flat memory; about 1 GB/s on one core.
"""

from __future__ import annotations

import os
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHUNK = 2**20
TAG = 16
MAGIC = b"excise1\n"
_PREFIX = 7


class Damaged(Exception):
    """It was not made with this key, or it was changed since."""


class Encrypting:
    """A file to write to; `close` writes the last chunk and leaves `out` open."""

    def __init__(self, out: BinaryIO, key: bytes, about: bytes) -> None:
        self._out, self._cipher, self._about = out, AESGCM(key), about
        self._prefix = os.urandom(_PREFIX)
        self._number = 0
        self._waiting = bytearray()
        out.write(MAGIC + self._prefix)

    def write(self, data: bytes) -> int:
        self._waiting += data
        while len(self._waiting) > CHUNK:  # never all of it: the last chunk is marked
            self._put(bytes(self._waiting[:CHUNK]), last=False)
            del self._waiting[:CHUNK]
        return len(data)

    def close(self) -> None:
        self._put(bytes(self._waiting), last=True)
        self._waiting.clear()

    def _put(self, data: bytes, *, last: bool) -> None:
        nonce = _nonce(self._prefix, self._number, last)
        self._out.write(self._cipher.encrypt(nonce, data, self._about))
        self._number += 1


class Decrypting:
    """A file to read from.

    Raises:
        Damaged: at the first chunk that is not what was written, or at the end if it is missing.
    """

    def __init__(self, source: BinaryIO, key: bytes, about: bytes) -> None:
        self._source, self._cipher, self._about = source, AESGCM(key), about
        head = source.read(len(MAGIC) + _PREFIX)
        if head[: len(MAGIC)] != MAGIC or len(head) != len(MAGIC) + _PREFIX:
            raise Damaged
        self._prefix = head[len(MAGIC) :]
        self._number = 0
        self._next = source.read(CHUNK + TAG)
        self._ready = bytearray()
        self._over = False

    def read(self, size: int = -1) -> bytes:
        while not self._over and (size < 0 or len(self._ready) < size):
            self._ready += self._chunk()
        taken = len(self._ready) if size < 0 else size
        found = bytes(self._ready[:taken])
        del self._ready[:taken]
        return found

    def _chunk(self) -> bytes:
        sealed, self._next = self._next, self._source.read(CHUNK + TAG)
        self._over = not self._next
        nonce = _nonce(self._prefix, self._number, self._over)
        self._number += 1
        try:
            return self._cipher.decrypt(nonce, sealed, self._about)
        except InvalidTag:
            raise Damaged from None


def _nonce(prefix: bytes, number: int, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([last])
