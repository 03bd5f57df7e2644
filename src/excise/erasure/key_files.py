"""Files of keys: Ed25519 private keys in PEM (PKCS 8) that nobody else can read, and public ones.

A private key that others can read may have signed anything, so such a file is refused rather than
used. The password of an encrypted key comes from the environment and not from the command line,
which other users of a machine can see.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from excise.records.errors import InputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

PASSWORD = "EXCISE_KEY_PASSWORD"
"""Environment variable: the password of the private key's file."""
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def public_file(path: Path) -> Path:
    """Where the public half of a private key is put: beside it, with `.pub` at the end."""
    return path.with_name(path.name + ".pub")


def make_key(path: Path) -> Ed25519PrivateKey:
    """A new private key in `path` (mode 600) and its public half beside it.

    It is encrypted if `$EXCISE_KEY_PASSWORD` is set.

    Raises:
        InputError: there is a file already, which is never replaced, or none can be written.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        KeySerializationEncryption,
        NoEncryption,
        PrivateFormat,
    )

    private = Ed25519PrivateKey.generate()
    password = os.environb.get(PASSWORD.encode())
    how: KeySerializationEncryption = NoEncryption()
    if password:
        how = BestAvailableEncryption(password)
    _write_new(path, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how), 0o600)
    beside = public_file(path)
    if not beside.exists():
        _write_new(beside, public_pem(private.public_key()), 0o644)
    return private


def read_key(path: Path) -> Ed25519PrivateKey:
    """The private key of a file.

    Raises:
        InputError: no such file, others can read it, it is no private key, one of another
            algorithm, or its password is missing or wrong.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content, mode = _read(path)
    if os.name == "posix" and mode & 0o077:
        raise InputError(f"{path}: others can read this key (mode {mode:o}), expected mode 600")
    if b"PUBLIC KEY-----" in content:
        raise InputError(f"{path}: is a public key, expected a private one")
    if b"OPENSSH PRIVATE KEY-----" in content:
        raise InputError(
            f"{path}: is a key of OpenSSH, expected PEM as `excise evidence key` makes"
        )
    password = os.environb.get(PASSWORD.encode()) or None
    if b"ENCRYPTED" not in content:
        password = None
    elif password is None:
        raise InputError(f"{path}: is encrypted, expected its password in ${PASSWORD}")
    try:
        private = load_pem_private_key(content, password)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if password is not None:
            raise InputError(f"{path}: the password in ${PASSWORD} does not open it") from None
        raise InputError(f"{path}: is no key, expected an Ed25519 private key in PEM") from None
    if not isinstance(private, Ed25519PrivateKey):
        kind = type(private).__name__.removesuffix("PrivateKey").strip("_")
        raise InputError(f"{path}: is a key for {kind}, expected one for Ed25519")
    return private


def read_public_key(path: Path) -> Ed25519PublicKey:
    """The public key of a file.

    Raises:
        InputError: no such file, or it holds something else.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    content, _ = _read(path)
    if b"PRIVATE KEY-----" in content:
        raise InputError(f"{path}: is a private key, expected the public one (the .pub beside it)")
    try:
        public = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        raise InputError(f"{path}: is no key, expected an Ed25519 public key in PEM") from None
    if not isinstance(public, Ed25519PublicKey):
        kind = type(public).__name__.removesuffix("PublicKey").strip("_")
        raise InputError(f"{path}: is a key for {kind}, expected one for Ed25519")
    return public


def public_pem(public: Ed25519PublicKey) -> bytes:
    """A public key as PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _read(path: Path) -> tuple[bytes, int]:
    """Content and mode, of one and the same file even if the name changes hands meanwhile."""
    try:
        with path.open("rb") as file:
            return file.read(100_000), stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    except FileNotFoundError:
        raise InputError(f"{path}: no such key, `excise evidence key --out` makes one") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a file that must not exist yet, whole or not at all.

    Written beside and linked: unlike a rename, a link never replaces what another process has put
    there in the meantime.

    Raises:
        InputError: it exists or cannot be written.
    """
    path = Path(os.path.abspath(path))
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(part, path)
            except OSError as error:
                if error.errno not in _NO_LINKS or path.exists():
                    raise
                os.rename(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        if os.path.lexists(path):
            raise InputError(f"{path}: exists already, expected a new file") from None
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
