"""Answers of the API that are kept go out again before routes and parameters are looked at.

A kept answer was made for a caller of the same role, with the same path and query, so whoever asks
for it with a valid key of that role would be given it: what is left to do is to look at the head,
to find the key and to take a token. Everything else goes on to the routes, refusals included.
Routes, dependencies and parameters take three times as long as this.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

from starlette.types import ASGIApp, Receive, Scope, Send

from excise.desk.console.kept import Answer
from excise.desk.console.roles import LOOKED, Caller
from excise.desk.console.state import Console
from excise.records.errors import ExciseError


def name_of(scope: Scope, caller: Caller) -> tuple[object, ...]:
    """What an answer is kept by: who sees it, the day, and what was asked."""
    return ("api", caller.sees, datetime.now(UTC).date(), scope["path"], scope["query_string"])


class Again:
    """Between the limits and the routes; see the module."""

    def __init__(self, app: ASGIApp, *, console: Console) -> None:
        self._app = app
        self._console = console

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = None
        if _asks_api(scope) and (token := _token(scope)):
            with suppress(ExciseError):  # the route meets it again and says so
                found = await self._find(scope, token)
        if found is None:
            await self._app(scope, receive, send)
            return
        length = str(len(found.body)).encode()
        headers = [(b"content-length", length), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": found.body})

    async def _find(self, scope: Scope, token: str) -> Answer | None:
        console = self._console
        await console.look()
        state = scope.setdefault("state", {})
        state[LOOKED] = True
        key = console.key(token)
        if key is None:
            return None
        found = console.kept(name_of(scope, Caller(key)))
        if not isinstance(found, Answer) or console.by_key.wait(key.id):
            return None
        state["key_id"], scope["route"] = key.id, found.route
        return found


def _asks_api(scope: Scope) -> bool:
    return bool(
        scope["type"] == "http" and scope["method"] == "GET" and scope["path"].startswith("/api/")
    )


def _token(scope: Scope) -> str:
    """The key that the request carries, as the routes read it; empty if there is none."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            return token.strip() if scheme.lower() == "bearer" else ""
    return ""
