"""The console: an app of pages and an API over one ledger.

From the outside in, a request passes the log, the headers, the names that the console answers to,
the limits of its address and of its body, what is kept, and then the route, which asks for a key
or a session.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from excise import __version__
from excise.desk.console import api, live, pages
from excise.desk.console.access import AccessLog
from excise.desk.console.again import Again
from excise.desk.console.bodies import BodyLimit
from excise.desk.console.headers import SecurityHeaders
from excise.desk.console.limits import AddressLimit
from excise.desk.console.rendering import page
from excise.desk.console.roles import LoginNeeded, caller_in
from excise.desk.console.settings import Settings
from excise.desk.console.state import Console
from excise.desk.errors import Duplicate, LeaseLost, Locked, NotAllowed, Sealed, Stale, Unknown
from excise.desk.ledger.ledger import Ledger
from excise.records.errors import ExciseError, InputError

STATUS: tuple[tuple[type[ExciseError], int], ...] = (
    (Unknown, 404),
    (NotAllowed, 409),
    (Duplicate, 409),
    (Sealed, 409),
    (Locked, 503),
    (LeaseLost, 409),
    (Stale, 409),
    (InputError, 400),
)
TITLES = {
    400: "That cannot be taken",
    401: "Log in first",
    403: "Not with this key",
    404: "Nothing here",
    405: "Not that way",
    409: "Not now",
    413: "Too large",
    422: "That cannot be read",
    429: "Too fast",
    503: "Busy",
}


def create_app(
    ledger_url: str | None = None,
    settings: Settings | None = None,
    *,
    folder: str | Path | None = None,
    key_file: str | Path | None = None,
) -> FastAPI:
    """Open the ledger and make the app; the ledger is closed when the app ends.

    Raises:
        InputError: no such ledger, or one of another version (see `Ledger.open`).
    """
    settings = settings or Settings()
    ledger = Ledger.open(ledger_url, folder=folder, key_file=key_file)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        ledger.close()

    app = FastAPI(
        title="excise desk",
        version=__version__,
        description="Erasure requests, from a person's letter to signed evidence.",
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        lifespan=life,
        redirect_slashes=False,
    )
    app.state.console = Console(ledger, settings)
    app.include_router(api.router)
    app.include_router(live.router)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).with_name("static")), name="static")
    _answer_errors(app)
    uploads = dict.fromkeys(("/requests", "/api/requests"), settings.largest_upload)
    app.add_middleware(Again, console=app.state.console)
    app.add_middleware(BodyLimit, limit=settings.largest_body, larger=uploads)
    app.add_middleware(AddressLimit, rate=settings.by_address)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(settings.hosts))
    app.add_middleware(SecurityHeaders, tls=settings.tls)
    app.add_middleware(AccessLog)
    return app


def _answer_errors(app: FastAPI) -> None:
    @app.exception_handler(ExciseError)
    async def refused(request: Request, error: ExciseError) -> Response:
        status = next((code for kind, code in STATUS if isinstance(error, kind)), 400)
        return _problem(request, status, str(error), {"retry-after": "2"} if status == 503 else {})

    @app.exception_handler(RequestValidationError)
    async def unreadable(request: Request, error: RequestValidationError) -> Response:
        """Field and expectation; the value is left out, it may be private."""
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return _problem(request, 422, f"{where}: {first['msg']}", {})

    @app.exception_handler(AnyHTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        return _problem(request, error.status_code, str(error.detail), error.headers or {})

    @app.exception_handler(LoginNeeded)
    async def login_needed(request: Request, _: LoginNeeded) -> Response:
        return RedirectResponse("/login", 303)


def _problem(request: Request, status: int, detail: str, headers: Mapping[str, str]) -> Response:
    """For programs JSON, for people a page."""
    if request.url.path.startswith(("/api/", "/openapi", "/static")):
        return JSONResponse({"detail": detail}, status, headers=dict(headers))
    return page(
        "problem.html.j2", request, caller_in(request), status=status, headers=headers,
        title=TITLES.get(status, "That did not work"), detail=detail,
    )  # fmt: skip
