"""Browser sessions: who has logged in with which key, kept in memory.

The cookie is a random token that means nothing elsewhere; the key itself stays with its owner. A
restart logs everybody out, which for a desk is right. The cookie is HttpOnly and SameSite=Strict;
forms carry a second token of the session besides, and have to come from the console's own pages.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

MOST = 1_000


@dataclass(frozen=True)
class Session:
    token: str
    key_id: str
    form_token: str
    """What each form has to send along."""
    until: float


class Sessions:
    """The sessions that are open."""

    def __init__(self, hours: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = hours * 3600
        self._clock = clock
        self._open: OrderedDict[str, Session] = OrderedDict()

    def begin(self, key_id: str) -> Session:
        """A new session; the oldest goes if there are too many."""
        until = self._clock() + self._seconds
        session = Session(secrets.token_urlsafe(32), key_id, secrets.token_urlsafe(32), until)
        self._open[session.token] = session
        if len(self._open) > MOST:
            self._open.popitem(last=False)
        return session

    def find(self, token: str | None) -> Session | None:
        """The session of that cookie, unless it is over."""
        session = self._open.get(token or "")
        if session is not None and session.until < self._clock():
            self.end(session)
            return None
        return session

    def end(self, session: Session) -> None:
        self._open.pop(session.token, None)


def cookie_name(tls: bool) -> str:
    """`__Host-` makes browsers insist on HTTPS, this host alone and the whole path."""
    return "__Host-excise-desk" if tls else "excise-desk"


def set_cookie(response: Response, session: Session, *, tls: bool, hours: float) -> None:
    response.set_cookie(
        cookie_name(tls),
        session.token,
        max_age=int(hours * 3600),
        path="/",
        secure=tls,
        httponly=True,
        samesite="strict",
    )


def same_site(request: Request) -> bool:
    """Whether a form was sent from a page of this console, as the browser tells it."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def form_is_ours(session: Session, sent: object) -> bool:
    """Whether a form carries the token of its session."""
    return isinstance(sent, str) and hmac.compare_digest(sent.encode(), session.form_token.encode())
