"""What a submitter sees: the requests that came with its own key, and of the others not even
whether they exist."""

from __future__ import annotations

from collections.abc import Collection

from excise.desk.console.roles import Caller
from excise.desk.console.state import Console
from excise.desk.errors import Unknown
from excise.desk.ledger.entities import Request
from excise.desk.ledger.states import State


def require_own(console: Console, caller: Caller, request_id: str) -> None:
    """Raises Unknown for a submitter and somebody else's request, in the words for no request."""
    if caller.role != "submitter":
        return
    first = console.ledger.entries(request_id, limit=1)
    if not first or first[0].actor != caller.key.id:
        raise Unknown(f"{request_id}: no such request")


def own_page(
    console: Console,
    key_id: str,
    states: Collection[State] | None,
    model: str | None,
    limit: int,
    after: str | None,
) -> list[Request]:
    """At most `limit` of a key's requests, newest first, from the one behind `after` on."""
    ids = console.submitted_by(key_id)
    if after is not None:
        if after not in ids:
            raise Unknown(f"{after}: no such request")
        ids = ids[ids.index(after) + 1 :]
    found: list[Request] = []
    for id in ids:
        request = console.ledger.request(id)
        if (not states or request.state in states) and (not model or model in request.models):
            found.append(request)
        if len(found) >= limit:
            break
    return found
