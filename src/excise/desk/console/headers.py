"""Headers that every answer carries: what a browser may load, show and tell others.

The content policy allows files of our own and nothing inline, so an answer or a name that found its
way into a page unescaped could still run nothing. Pages are never cached: a shared office computer
must not show a request after its officer has logged out. Costs a few microseconds an answer.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",  # for browsers older than frame-ancestors
    "referrer-policy": "same-origin",  # with none at all, forms would not tell where they are from
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=()",
    "cache-control": "no-store",
}
WITH_PICTURES = POLICY.replace("img-src 'self'", "img-src 'self' data:")
"""For the one page that shows pictures which must not have an address."""
A_YEAR = "max-age=31536000; includeSubDomains"


class SecurityHeaders:
    """Adds the headers to every answer, refusals and errors included; what a route sets stays."""

    def __init__(self, app: ASGIApp, *, tls: bool) -> None:
        self._app = app
        headers = {**HEADERS, **({"strict-transport-security": A_YEAR} if tls else {})}
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                names = {name for name, _ in given}
                message["headers"] = given + [h for h in self._headers if h[0] not in names]
            await send(message)

        await self._app(scope, receive, with_headers)
