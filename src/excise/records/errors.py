"""What a user is told when something is wrong: one line, never a traceback.

`InputError` means that the user can mend it (exit code 2). Its text names the file, the line or
field and what was expected; line breaks that slip in through quoted input are flattened, so that
one mistake is always one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ExciseError(Exception):
    """Base of all errors that are meant for the user's eyes; `str()` is a single line."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))


class InputError(ExciseError):
    """What the user gave is wrong: the command line ends with exit code 2."""

    @classmethod
    def at(cls, where: str, field: str, reason: str) -> InputError:
        """An error in one field of one line: `records.jsonl:3: field "kind": missing`."""
        return cls(f'{where}: field "{field}": {reason}')


def did_you_mean(value: object, choices: Iterable[str]) -> str:
    """The hint for a mistyped name: `; did you mean "forget"?`, or nothing if none is near."""
    lowered = {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(str(value).lower(), list(lowered), n=1)
    return f'; did you mean "{lowered[near[0]]}"?' if near else ""
