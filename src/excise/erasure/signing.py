"""Signing a JSON value with Ed25519 (RFC 8032), and whose key is taken for it.

What is signed is the value's canonical text (`canonical.py`). The document holds value, signature
and public key, and is itself canonical, so that no byte of it can change unseen: not a space, not
the spelling of a number, not the unused bits of a base64 text.

A signature that fits the public key beside it shows that the document is as its signer made it, not
who that was. Who verifies has to have the public key, or its fingerprint, from elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from excise.erasure.canonical import canonical, parse
from excise.erasure.key_files import make_key, public_file, read_key
from excise.records.errors import InputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

ALGORITHM = "Ed25519"
KEY = "EXCISE_KEY"
"""Environment variable: the private key's file, in place of the one in the user's folder."""


def signed(body: object, key: Ed25519PrivateKey) -> dict[str, Any]:
    """`{"body": ..., "signature": {algorithm, key_id, public_key, value}}`.

    Public key (DER) and value are in base64.

    Raises:
        ValueError: the body holds something that JSON does not have.
    """
    public = key.public_key()
    return {
        "body": body,
        "signature": {
            "algorithm": ALGORITHM,
            "key_id": key_id(public),
            "public_key": _base64(_der(public)),
            "value": _base64(key.sign(canonical(body))),
        },
    }


def document_bytes(document: Mapping[str, Any]) -> bytes:
    """A signed document as it stands in its file: canonical, with a newline at its end."""
    return canonical(document) + b"\n"


def opened(raw: bytes) -> tuple[dict[str, Any], str]:
    """Body and key id of a signed document's bytes, if not one of them was changed.

    Raises:
        ValueError: it is no such document, or something in it was changed; the message says what.
    """
    from cryptography.exceptions import InvalidSignature

    if not raw.endswith(b"\n"):
        raise ValueError("does not end with a newline")
    document = parse(raw[:-1])
    if not isinstance(document, dict) or set(document) != {"body", "signature"}:
        raise ValueError("expected a body and a signature")
    body, signature = document["body"], document["signature"]
    names = {"algorithm", "key_id", "public_key", "value"}
    if (
        not isinstance(body, dict)
        or not isinstance(signature, dict)
        or set(signature) != names
        or not all(isinstance(text, str) for text in signature.values())
    ):
        raise ValueError("expected a body and a signature of " + ", ".join(sorted(names)))
    if signature["algorithm"] != ALGORITHM:
        raise ValueError(f"the signature's algorithm is unknown, expected {ALGORITHM}")
    public = _public(signature["public_key"])
    if signature["key_id"] != key_id(public):
        raise ValueError("the key's fingerprint is not that of the key")
    try:
        public.verify(_bytes(signature["value"]), canonical(body))
    except InvalidSignature:
        raise ValueError("the signature does not fit: something was changed") from None
    return body, key_id(public)


def key_id(public: Ed25519PublicKey) -> str:
    """The key's fingerprint: SHA-256 in hexadecimal of its DER (SubjectPublicKeyInfo)."""
    return hashlib.sha256(_der(public)).hexdigest()


def own_key_file() -> Path:
    """Where the user's own key lies: `$EXCISE_KEY`, or `excise/key.pem` among their settings."""
    named = os.environ.get(KEY)
    if named:
        return Path(named)
    settings = os.environ.get("XDG_CONFIG_HOME", "")
    folder = Path(settings) if os.path.isabs(settings) else Path.home() / ".config"
    return folder / "excise" / "key.pem"


def signing_key(
    path: Path | None = None, tell: Callable[[str], None] | None = None
) -> Ed25519PrivateKey:
    """The key to sign with: of a file, or the user's own, which is made at its first use.

    Args:
        tell: is given the line that says that it was made; None prints it to stderr.

    Raises:
        InputError: see `read_key`; a file that was named, here or in `$EXCISE_KEY`, is not made.
    """
    file = path or own_key_file()
    if path is None and not os.environ.get(KEY) and not file.exists():
        try:
            private = make_key(file)
        except InputError:
            if not file.exists():  # else another process was faster, and its key is as good
                raise
        else:
            line = f"made a signing key: {file}; keep it safe, publish {public_file(file).name}"
            (tell or _say)(line)
            return private
    return read_key(file)


def _say(line: str) -> None:
    print(f"excise: {line}", file=sys.stderr)


def _der(public: Ed25519PublicKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _public(text: str) -> Ed25519PublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        public = load_der_public_key(_bytes(text))
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("the public key is broken") from None
    if not isinstance(public, Ed25519PublicKey) or _base64(_der(public)) != text:
        raise ValueError("the public key is broken")
    return public


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bytes(text: str) -> bytes:
    """Base64 in its one spelling: the last character's unused bits are zero."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the signature is broken base64") from None
    if _base64(raw) != text:
        raise ValueError("the signature is broken base64")
    return raw
