"""How much somebody may send: a body that is too large is refused, not read.

A declared length is refused at once (413); a body without one is counted while it comes and cut off
where it passes the limit. Costs one comparison a chunk.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """Limits the bytes of a request's body; `larger` gives paths that may have more by POST."""

    def __init__(self, app: ASGIApp, *, limit: int, larger: Mapping[str, int]) -> None:
        self._app = app
        self._limit = limit
        self._larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit
        if scope["method"] == "POST":
            limit = self._larger.get(scope["path"], limit)
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdecimal() or int(declared) > limit:
            said = {"detail": too_large(limit)}
            answer = JSONResponse(said, status_code=413, headers={"connection": "close"})
            await answer(scope, receive, send)
            return
        came = 0

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > limit:
                raise HTTPException(413, too_large(limit), headers={"connection": "close"})
            return message

        await self._app(scope, counted, send)


def too_large(limit: int) -> str:
    """What is said about it."""
    size = f"{limit / 2**20:.0f} MiB" if limit >= 2**20 else f"{limit / 2**10:.0f} KiB"
    return f"body: too large, expected at most {size}"
