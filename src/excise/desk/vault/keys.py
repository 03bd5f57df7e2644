"""The desk's key: 32 random bytes in a file of its own, or in the environment.

From it come, by HKDF (RFC 5869) and never used for two things: the key that wraps the keys of
requests, the key that hashes people, and the key that seals the chain. Losing it loses what is in
the vault and the proof of the log; whoever has it can try names against the hashes.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from dataclasses import dataclass, field

from excise.desk.settings import KEY, Settings
from excise.records.errors import InputError

SIZE = 32
_FORM = f"expected {SIZE} bytes in base64"


@dataclass(frozen=True)
class DeskKey:
    secret: bytes = field(repr=False)
    source: str
    """Where it came from, for messages."""

    def derived(self, purpose: str) -> bytes:
        """32 bytes for one purpose."""
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        info = f"excise desk {purpose}".encode()
        return HKDF(algorithm=SHA256(), length=SIZE, salt=None, info=info).derive(self.secret)

    @classmethod
    def load(cls, settings: Settings) -> DeskKey:
        """From the environment, else from its file.

        Raises:
            InputError: neither is there, it is no key, or others may read the file.
        """
        given = os.environ.get(KEY)
        if given:
            return cls(_decoded(given, KEY), KEY)
        path = settings.key_file
        try:
            text = path.read_text(encoding="ascii")
            mode = path.stat().st_mode & 0o777
        except FileNotFoundError:
            raise InputError(
                f"{path}: the desk's key is missing, expected the file that excise desk init "
                f"made (or --key-file, or {KEY})"
            ) from None
        except (OSError, UnicodeDecodeError):
            raise InputError(f"{path}: cannot be read, {_FORM}") from None
        if mode & 0o077:
            raise InputError(f"{path}: may be read by others (mode {mode:o}), expected mode 600")
        return cls(_decoded(text, str(path)), str(path))

    @classmethod
    def make(cls, settings: Settings) -> DeskKey:
        """A new one in its file; the one that is there already, or in the environment, stays.

        Raises:
            InputError: the file cannot be written.
        """
        path = settings.key_file
        if os.environ.get(KEY) or path.exists():
            return cls.load(settings)
        secret = secrets.token_bytes(SIZE)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(base64.b64encode(secret).decode() + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror})") from None
        return cls(secret, str(path))


def _decoded(text: str, source: str) -> bytes:
    try:
        secret = base64.b64decode(text.strip().replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        raise InputError(f"{source}: is no key, {_FORM}") from None
    if len(secret) != SIZE:
        raise InputError(f"{source}: has {len(secret)} bytes, {_FORM}")
    return secret
