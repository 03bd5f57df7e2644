"""Who may do what. Each route names the roles that it is for; nothing is open by default.

    submitter   hands requests in and sees those that it handed in, no others
    operator    runs the machine: sees everything but the private answers, tries failed ones again
    officer     decides: identity, acceptance, exceptions, extensions, withdrawal; unlocks
    auditor     sees everything but the private answers, checks the chain, changes nothing

The API takes a key in the Authorization header and no cookie, so a page elsewhere cannot use it;
pages take the session's cookie. docs/desk-console.md has the table, and the tests follow it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, HTTPException, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from excise.desk.console.limits import address, retry_after
from excise.desk.console.sessions import Session, cookie_name, form_is_ours, same_site
from excise.desk.console.state import Console
from excise.desk.ledger.entities import Key

Role = Literal["submitter", "operator", "officer", "auditor"]
ANYBODY: tuple[Role, ...] = ("submitter", "operator", "officer", "auditor")
STAFF: tuple[Role, ...] = ("operator", "officer", "auditor")
LOOKED = "looked"
"""In a request's state: the console has looked at the ledger since it came."""
_BEARER = HTTPBearer(
    auto_error=False, scheme_name="key", description="A key of `excise desk key add`."
)


@dataclass(frozen=True)
class Caller:
    """Whose key it is, and the session if it is a browser."""

    key: Key
    session: Session | None = None

    @property
    def actor(self) -> str:
        """The name under which the ledger's log knows it: the key's id, never the key."""
        return self.key.id

    @property
    def role(self) -> str:
        return self.key.role

    @property
    def sees(self) -> str:
        """Callers with the same `sees` are shown the same."""
        return self.key.id if self.key.role == "submitter" else self.key.role


class LoginNeeded(Exception):
    """A page was asked for without a session: the answer is the way to the login page."""


def console_of(request: Request) -> Console:
    found: Console = request.app.state.console
    return found


def by_key(*roles: Role) -> Callable[..., Awaitable[Caller]]:
    """A dependency of API routes: the caller, if its key has one of the roles.

    Raises:
        HTTPException: 401 without a valid key, 403 for another role, 429 for too many requests.
    """

    async def caller(
        request: Request,
        given: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
    ) -> Caller:
        console = console_of(request)
        if not getattr(request.state, LOOKED, False):
            await console.look()
        key = console.key(given.credentials) if given else None
        if key is None:
            if given is not None:
                refuse_wrong_key(request)
            raise HTTPException(
                401, "key: missing or not valid", headers={"www-authenticate": "Bearer"}
            )
        return _admitted(request, Caller(key), roles)

    caller.roles = roles  # type: ignore[attr-defined]
    return caller


def by_session(*roles: Role) -> Callable[..., Awaitable[Caller]]:
    """A dependency of pages: the caller, if the key that it logged in with has one of the roles.

    Raises:
        LoginNeeded: there is no session, or its key has been revoked.
        HTTPException: 403 for another role, 429 for too many requests.
    """

    async def caller(request: Request) -> Caller:
        await console_of(request).look()
        found = caller_in(request)
        if found is None:
            raise LoginNeeded
        return _admitted(request, found, roles)

    caller.roles = roles  # type: ignore[attr-defined]
    return caller


def caller_in(request: Request) -> Caller | None:
    """Whose session the request's cookie is, as of the console's last look."""
    console = console_of(request)
    session = console.sessions.find(request.cookies.get(cookie_name(console.settings.tls)))
    key = console.key_by_id(session.key_id) if session else None
    return Caller(key, session) if key else None


def refuse_wrong_key(request: Request) -> None:
    """Raises 429 where wrong keys have come from that address too often."""
    if seconds := console_of(request).wrong_keys.wait(address(request.scope)):
        raise HTTPException(429, "too many wrong keys", headers=retry_after(seconds))


async def from_form(request: Request) -> None:
    """A dependency of everything that a form does: it comes from our page and our session."""
    await console_of(request).look()
    caller = caller_in(request)
    if caller is None or caller.session is None:
        raise LoginNeeded
    form = await request.form(max_files=0, max_fields=50)
    if not same_site(request) or not form_is_ours(caller.session, form.get("form_token")):
        raise HTTPException(403, "form: did not come from a page of this session")


def spend(request: Request, caller: Caller, cost: float) -> None:
    """Take tokens for something dear. Raises 429 if there are not enough."""
    if seconds := console_of(request).by_key.wait(caller.key.id, cost):
        raise HTTPException(429, "too many requests with this key", headers=retry_after(seconds))


def _admitted(request: Request, caller: Caller, roles: tuple[Role, ...]) -> Caller:
    request.state.key_id = caller.key.id
    spend(request, caller, 1.0)
    if caller.role not in roles:
        raise HTTPException(403, f"role: {caller.role} may not do this")
    return caller


Form = Depends(from_form)
