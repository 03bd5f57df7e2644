"""Who a request is about, without saying it: keyed hashes, and reasons that name nobody."""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from collections.abc import Collection

from excise.records.errors import InputError

LONGEST = 500
"""Characters of a reason."""
_WINDOW = 8
"""Words of the longest name that is found inside a reason."""


def normalised(text: str) -> str:
    """One form for one name: Unicode composed, case and spaces levelled."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def hashed(text: str, key: bytes) -> str:
    """HMAC-SHA256 of the normalised name, in hexadecimal: guessing it needs the key."""
    return hmac.new(key, normalised(text).encode(), hashlib.sha256).hexdigest()


def mentions(names: Collection[str], key: bytes) -> list[str]:
    """What `checked` looks for: each name by its words alone, hashed."""
    return sorted({hashed(" ".join(_words(name)), key) for name in names if _words(name)})


def checked(reason: str, known: Collection[str], key: bytes, *, what: str = "reason") -> str:
    """A reason, on one line, that may stand in the log for ever.

    Raises:
        InputError: it is empty, too long, or names the person (whose `mentions` are `known`).
    """
    text = " ".join(reason.split())
    if not text:
        raise InputError(f"{what}: is empty, expected a few words")
    if len(text) > LONGEST:
        raise InputError(f"{what}: has {len(text)} characters, expected at most {LONGEST}")
    words = _words(text)
    for begin in range(len(words)):
        for end in range(begin + 1, min(begin + _WINDOW, len(words)) + 1):
            if hashed(" ".join(words[begin:end]), key) in known:
                raise InputError(
                    f"{what}: names the person, expected none: it stays in the log for ever"
                )
    return text


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", normalised(text))
