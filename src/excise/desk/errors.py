"""What the ledger refuses, as types: a server answers each with its own status code.

All are one line for the user (`records/errors.py`), and none names a person, a question or an
answer: requests are named by their id.
"""

from __future__ import annotations

from excise.records.errors import ExciseError, InputError


class Unknown(InputError):
    """No request, model, release or batch of that name. (A server says 404.)"""


class NotAllowed(InputError):
    """The request's state does not allow it. (409)"""


class Duplicate(InputError):
    """The same person for the same model, a second time. (409)"""

    def __init__(self, message: str, first: str) -> None:
        super().__init__(message)
        self.first = first
        """The id of the request that is there already."""


class Locked(InputError):
    """Somebody else holds the database for longer than we wait. (503)"""


class Sealed(InputError):
    """The vault cannot be opened: wrong key, changed ciphertext, or shredded. (409)"""


class LeaseLost(ExciseError):
    """The batch is another worker's by now: whoever gets this stops and writes nothing more."""


class Stale(ExciseError):
    """Another release came in between: build on that one."""
