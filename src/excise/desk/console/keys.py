"""API keys: made at random, shown once, kept as a hash.

A key is 256 random bits, so there is nothing to guess and nothing to look up in a list of common
passwords: one SHA-256 hides it as well as scrypt would, whose slowness protects short secrets that
people choose, and which would cost 50 ms a request here. The prefix lets scanners of code and mail
find a key that was left somewhere. Finding a key compares its hash with every stored one in
constant time; 100 keys take 30 µs.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, get_args

from excise.desk.ledger.entities import Key
from excise.records.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from excise.desk.ledger.ledger import Ledger

PREFIX = "excise-key-"
_MARK = b"excise.desk/key/1:"  # the same bytes hashed for another purpose give another hash
ROLES: tuple[str, ...] = get_args(Key.__annotations__["role"]) or (
    "submitter",
    "operator",
    "officer",
    "auditor",
)


def hashed(token: str) -> str:
    """SHA-256 of a key, in hexadecimal: all that the ledger keeps of it."""
    return hashlib.sha256(_MARK + token.encode("utf-8", "surrogatepass")).hexdigest()


def issue(ledger: Ledger, name: str, role: str, *, actor: str) -> tuple[Key, str]:
    """Make a key and enter its hash; the second value is the key itself, to be shown once.

    Raises:
        InputError: there is no such role, or the name is empty or long.
    """
    if role not in ROLES:
        raise InputError(
            f'role: unknown "{role}", expected {", ".join(ROLES)}{did_you_mean(role, ROLES)}'
        )
    if not 0 < len(name.strip()) <= 80:
        raise InputError("name: expected 1 to 80 characters that say where the key is used")
    token = PREFIX + secrets.token_urlsafe(32)
    return ledger.add_key(name.strip(), role, hashed(token), actor=actor), token


def find(keys: Iterable[Key], token: str) -> Key | None:
    """The key of that text, unless it is revoked. Looks at all of them, whichever it is."""
    wanted, found = hashed(token), None
    for key in keys:
        if hmac.compare_digest(key.hash, wanted) and not key.revoked:
            found = key
    return found
