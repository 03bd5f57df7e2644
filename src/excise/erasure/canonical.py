"""One spelling for a JSON value, so that what is signed is bytes and not a meaning.

Keys sorted by code point, no spaces, UTF-8 without escapes where JSON allows it, numbers as Python
writes them (the shortest text that reads back as the same double). Whoever changes a byte of a
canonical text, be it a space or the spelling of a number, makes a text that is canonical no more.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def canonical(value: object) -> bytes:
    """The value's only spelling, without a newline at its end.

    Raises:
        ValueError: something that JSON does not have: a key that is no text, NaN, half a surrogate
            pair, another type.
    """
    text = json.dumps(
        _checked(value), ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    )
    return text.encode()  # UnicodeEncodeError is a ValueError


def parse(raw: bytes) -> Any:
    """The value of a canonical text.

    Raises:
        ValueError: it is no JSON, or not in its canonical spelling; the message says which.
    """
    try:
        value = json.loads(raw.decode())
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    except RecursionError:
        raise ValueError("broken JSON (nested too deeply)") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"broken JSON ({error.msg})") from None
    except ValueError:  # an integer of thousands of digits
        raise ValueError("broken JSON (a number too long)") from None
    try:
        again = canonical(value)
    except (ValueError, RecursionError):
        again = b""
    if again != raw:
        raise ValueError("is not in canonical form")
    return value


def plain(value: Any) -> Any:
    """The value as it comes back from JSON: lists for tuples, null for NaN and infinities."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value


def _checked(value: object) -> object:
    """The value, if JSON has it: `json.dumps` would turn keys that are numbers into text."""
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("expected keys of text")
        return {key: _checked(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_checked(inner) for inner in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ValueError(f"expected what JSON has, found {type(value).__name__}")
