"""The outermost layer: one line a request in the log, and no error that tells more than it must.

A line holds method, route, status, time and the id of the key, and neither query string, path
values, address nor header: searches, ids and addresses are about people. An exception that nobody
expected is logged by its type and place and never by its message, which may hold a question or an
answer of the very data to be erased; the caller gets 500 and the same words for all of them.
"""

from __future__ import annotations

import logging
import time
import traceback
from pathlib import Path

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOG = logging.getLogger("excise.desk")
BUG = "a mistake in excise; the log names its place"


class AccessLog:
    """Logs what was asked and how it ended; turns unexpected exceptions into a bare 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started = 0, time.perf_counter()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as error:
            LOG.error("%s %s %s", scope["method"], route(scope), place(error))
            if status == 0:
                await JSONResponse({"detail": BUG}, 500)(scope, receive, noted)
        finally:
            took = (time.perf_counter() - started) * 1000
            who = scope.get("state", {}).get("key_id", "-")
            LOG.info("%s %s %s %.0f ms %s", scope["method"], route(scope), status, took, who)


def route(scope: Scope) -> str:
    """The path as the routes write it, `/requests/{request_id}`; unknown paths have no name."""
    return str(getattr(scope.get("route"), "path", "(no such path)"))


def place(error: BaseException) -> str:
    """Type and line of an exception, without its message."""
    package = Path(__file__).parents[3]
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if Path(f.filename).is_relative_to(package)]
    where = f" at {Path(ours[-1].filename).relative_to(package)}:{ours[-1].lineno}" if ours else ""
    return f"{type(error).__name__}{where}"
