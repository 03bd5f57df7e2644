"""How often somebody may ask: token buckets, kept in memory.

A bucket holds `burst` tokens and gains `per_minute` of them a minute; an answer costs one. In
memory because a console is one process; several behind a balancer each allow the full rate. Costs
one dictionary look-up a request and about 200 bytes a caller, at most `PLACES` of them: the one
that was idle the longest makes room, and an idle bucket is a full one: nothing is forgiven early.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from excise.desk.console.settings import Rate

PLACES = 20_000


class Buckets:
    """One bucket for each name that asks."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, at that time

    def wait(self, name: str, cost: float = 1.0) -> float:
        """Take tokens and return 0, or take none and return the seconds until there are enough."""
        now, second = self._clock(), self._rate.per_minute / 60
        tokens, then = self._held.pop(name, (float(self._rate.burst), now))
        tokens = min(float(self._rate.burst), tokens + (now - then) * second)
        enough = tokens >= cost
        self._held[name] = (tokens - cost if enough else tokens, now)
        if len(self._held) > PLACES:
            self._held.popitem(last=False)
        return 0.0 if enough else (cost - tokens) / second


def address(scope: Scope) -> str:
    """Who asks, as far as the network tells; of IPv6 the network of 64 bits that one house has."""
    client = scope.get("client")
    if not client:
        return "unknown"
    try:
        found = ipaddress.ip_address(client[0])
    except ValueError:
        return str(client[0])
    if found.version == 6:
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


def retry_after(seconds: float) -> dict[str, str]:
    """The header that says when asking again makes sense, in whole seconds."""
    return {"retry-after": str(max(1, math.ceil(seconds)))}


class AddressLimit:
    """Answers 429 to an address that asks too often, before anything else is done."""

    def __init__(self, app: ASGIApp, *, rate: Rate) -> None:
        self._app = app
        self._buckets = Buckets(rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (seconds := self._buckets.wait(address(scope))):
            said = {"detail": "too many requests from this address"}
            answer = JSONResponse(said, status_code=429, headers=retry_after(seconds))
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)
