"""Taking a row apart: a column that is missing, or holds something else, is one line.

Nothing that a row holds is ever quoted: it may be about people. Names of columns are.
"""

from __future__ import annotations

import ast
import json
from typing import Any

from excise.records.errors import InputError, did_you_mean
from excise.records.tables import RawRow


def need(row: RawRow, *names: str) -> None:
    """Raises InputError unless the row has a value in every column named."""
    for name in names:
        if name not in row.values:
            others = [key for key in row.values if key not in names]
            raise InputError.at(
                row.where,
                name,
                f"missing or empty, expected {', '.join(names)}; found "
                f"{', '.join(row.values) or 'no column'}{did_you_mean(name, others)}",
            )


def text(row: RawRow, name: str, value: Any = None) -> str:
    """A text, stripped: column `name`, or `value` found under that name further in."""
    found = row.values.get(name) if value is None else value
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        raise InputError.at(row.where, name, f"expected text, found {_kind(found)}")
    if not str(found).strip():
        raise InputError.at(row.where, name, "is empty, expected some text")
    return str(found).strip()


def texts(row: RawRow, name: str, value: Any) -> list[str]:
    """A list of texts, empty ones left out; a single text is a list of one, None of none."""
    if value is None:
        return []
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(v, str | int | float) for v in value):
        raise InputError.at(row.where, name, f"expected a list of texts, found {_kind(value)}")
    return [str(v).strip() for v in value if str(v).strip()]


def entries(row: RawRow, name: str, value: Any = None) -> list[dict[str, Any]]:
    """A list of objects: column `name`, or `value` found under that name further in."""
    found = row.values.get(name) if value is None else value
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise InputError.at(row.where, name, f"expected a list of entries, found {_kind(found)}")
    return found


def mapping(row: RawRow, name: str, value: Any = None) -> dict[str, Any]:
    """An object: a struct, or the same as text in JSON or as Python prints it.

    Keys without a value are left out: in a table every row has the keys of all.
    """
    found = row.values.get(name) if value is None else value
    if isinstance(found, str):
        found = _parsed(found)
    if not isinstance(found, dict):
        raise InputError.at(row.where, name, f"expected keys and values, found {_kind(found)}")
    return {str(key): inner for key, inner in found.items() if inner is not None}


def _parsed(written: str) -> Any:
    try:
        return json.loads(written)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(written)  # UMU-Bench stores what Python prints
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def inner(row: RawRow, column: str, entry: dict[str, Any], key: str) -> Any:
    """The value under `key` of an object inside `column`.

    Raises:
        InputError: it has none.
    """
    if entry.get(key) is None:
        raise InputError.at(
            row.where,
            f"{column}.{key}",
            f"missing, found {', '.join(map(str, entry)) or 'nothing'}{did_you_mean(key, entry)}",
        )
    return entry[key]


def _kind(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__
