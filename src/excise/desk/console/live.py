"""Progress as it happens: server-sent events that carry a piece of the page.

One look at the ledger a second for each open page, shared between them all (`state.Console`), and
only what changed is sent. The stream ends with the session, when the key is revoked or after
`LONGEST`; a browser comes back by itself. Without a script the page has a link that reads it anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import StreamingResponse

from excise.desk.console import overview
from excise.desk.console.api import Id, today
from excise.desk.console.owned import require_own
from excise.desk.console.pages import Anybody
from excise.desk.console.rendering import text
from excise.desk.console.roles import Caller, caller_in, console_of

router = APIRouter(include_in_schema=False)
EVERY = 1.0  # seconds
LONGEST = 600.0
MOST = 100  # streams at once; each is an open connection
QUIET = 15  # looks without a change after which a comment keeps proxies from hanging up


@router.get("/requests/{request_id}/live")
async def live(request: Request, caller: Anybody, request_id: Id) -> StreamingResponse:
    """Events `changed` with the request's progress as HTML."""
    console = console_of(request)
    await console.in_thread(lambda: require_own(console, caller, request_id))
    await console.in_thread(lambda: console.ledger.request(request_id))
    if console.streams >= MOST:
        raise HTTPException(503, "too many live pages", headers={"retry-after": "30"})
    return StreamingResponse(
        _events(request, caller, request_id),
        media_type="text/event-stream",
        headers={"x-accel-buffering": "no"},
    )


async def _events(request: Request, caller: Caller, request_id: str) -> AsyncIterator[str]:
    console = console_of(request)
    console.streams += 1
    try:
        last, still, over = "", 0, asyncio.get_running_loop().time() + LONGEST
        while asyncio.get_running_loop().time() < over and not await request.is_disconnected():
            await console.look()
            if console.ending or caller_in(request) is None:
                break
            shown = await console.in_thread(lambda: _progress(request, caller, request_id))
            still = 0 if shown != last else still + 1
            if shown != last:
                yield event("changed", shown)
            elif still % QUIET == 0:
                yield ": still here\n\n"
            last = shown
            await asyncio.sleep(EVERY)
    finally:
        console.streams -= 1


def _progress(request: Request, caller: Caller, request_id: str) -> str:
    console = console_of(request)
    shown: dict[str, Any] = overview.request(console, caller, request_id, today())
    return text("progress.html.j2", request, caller, **shown)


def event(name: str, data: str) -> str:
    """One event; each line of the data has a field of its own."""
    lines = "".join(f"data: {line}\n" for line in data.splitlines() if line.strip())
    return f"event: {name}\n{lines}\n"
