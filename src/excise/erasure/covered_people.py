"""Who an evidence covers, without naming anybody: salted hashes of the subjects.

Each evidence has a salt of its own, so the same person cannot be followed from one to the next. The
salt is not in the evidence: subjects are guessable, and with it anybody could try them all. Who
keeps the salt (a file of its own, mode 600) can show later that a given person was covered; who
throws it away cannot, and nobody else can either.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from excise.records.errors import InputError
from excise.weights.json_file import read_object

SCHEME = "HMAC-SHA256"
SCHEMA = "excise.salt/1"
_SALT_BYTES = 32


def new_salt() -> bytes:
    """32 bytes from the system: a salt that a seed would yield again protects nobody."""
    return secrets.token_bytes(_SALT_BYTES)


def hashed(subject: str, salt: bytes) -> str:
    """HMAC-SHA256 of the subject's text (UTF-8) under the salt, in hexadecimal."""
    return hmac.new(salt, subject.encode(), hashlib.sha256).hexdigest()


def covering(subjects: Iterable[str], salt: bytes) -> dict[str, Any]:
    """`{"scheme", "hashes"}`, sorted, so that the order says nothing about who is who."""
    return {"scheme": SCHEME, "hashes": sorted({hashed(subject, salt) for subject in subjects})}


def covered(evidence: Mapping[str, Any], salt: bytes, subject: str) -> bool:
    """Whether a person is among those that a (verified) evidence is about.

    Args:
        evidence: the document, or its body.
        subject: as in the `subject` field of the records.
    """
    body = evidence.get("body", evidence)
    subjects = body.get("subjects") if isinstance(body, Mapping) else None
    hashes = subjects.get("hashes") if isinstance(subjects, Mapping) else None
    return isinstance(hashes, list) and hashed(subject, salt) in hashes


def write_salt(path: str | Path, salt: bytes) -> None:
    """Keep a salt in a new file that nobody else can read.

    Raises:
        InputError: it exists, or cannot be written.
    """
    path = Path(path)
    text = json.dumps({"schema": SCHEMA, "scheme": SCHEME, "salt": salt.hex()}) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(f"{path}: exists already, expected a new file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None


def read_salt(path: str | Path) -> bytes:
    """The salt of a file that `write_salt` made.

    Raises:
        InputError: it is missing or something else.
    """
    found = read_object(Path(path))
    salt = found.get("salt")
    if found.get("schema") != SCHEMA or not isinstance(salt, str):
        raise InputError(f"{path}: schema: expected {SCHEMA!r}")
    try:
        return bytes.fromhex(salt)
    except ValueError:
        raise InputError(f"{path}: salt: expected hexadecimal") from None
