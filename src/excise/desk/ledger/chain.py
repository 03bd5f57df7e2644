"""The log as a chain: each entry holds the hash of the one before, and a seal under the desk's key.

The hash lets anybody see that nothing was changed in the middle; the seal, an HMAC of the hash,
that nobody without the key computed the rest of the chain anew; the head, count and last hash under
a seal of its own, that nothing was cut off at the end. An old copy of the whole database is a valid
chain: against that, `COUNT:HASH` of a head is noted elsewhere.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from excise.desk.ledger.canonical import canonical

START = "0" * 64
"""What the first entry has for a previous hash."""


def link(
    number: int, time: str, actor: str, kind: str, request: str | None, content: str, previous: str
) -> str:
    """SHA-256 in hexadecimal over everything that an entry says; `content` is canonical JSON."""
    said = canonical([number, time, actor, kind, request, content, previous])
    return hashlib.sha256(said.encode()).hexdigest()


def seal(key: bytes, *said: Any) -> str:
    """HMAC-SHA256 in hexadecimal over some values."""
    return hmac.new(key, canonical(said).encode(), hashlib.sha256).hexdigest()


def same(one: str, other: str) -> bool:
    """Whether two seals are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())
