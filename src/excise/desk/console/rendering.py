"""Templates into pages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from typing import Any

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from excise import __version__
from excise.desk.console.labels import entry_title, entry_words
from excise.desk.console.roles import Caller

NAVIGATION = (
    ("/requests", "Requests", ("submitter", "operator", "officer", "auditor")),
    ("/requests/new", "Hand in", ("submitter", "officer")),
    ("/models", "Models", ("operator", "officer", "auditor")),
    ("/log", "Log", ("officer", "auditor")),
    ("/keys", "Keys", ("officer", "auditor")),
)


@cache
def environment() -> Environment:
    """Escapes everything; an unknown name is an error, so a page never shows half of itself."""
    made = Environment(
        loader=PackageLoader("excise.desk.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(day=day, moment=moment, title_of=entry_title, words=entry_words)
    return made


def text(template: str, request: Request, caller: Caller | None, **context: Any) -> str:
    """The template as text, with what every page needs."""
    role = caller.role if caller else None
    links = [(path, name) for path, name, roles in NAVIGATION if role in roles]
    return (
        environment()
        .get_template(template)
        .render(
            caller=caller,
            role=role,
            form_token=caller.session.form_token if caller and caller.session else "",
            links=links,
            here=_here(request.url.path, [path for path, _ in links]),
            version=__version__,
            **context,
        )
    )


def page(
    template: str,
    request: Request,
    caller: Caller | None,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> HTMLResponse:
    return HTMLResponse(
        text(template, request, caller, **context), status, headers=dict(headers or {})
    )


def _here(path: str, links: list[str]) -> str:
    """The link that the page belongs to: the longest that its path begins with."""
    fitting = [link for link in links if path == link or path.startswith(f"{link}/")]
    return max(fitting, key=len, default="")


def day(value: date | datetime) -> str:
    """`25 Nov 2026`."""
    return f"{value.day} {value:%b %Y}"


def moment(value: datetime) -> str:
    """`25 Nov 2026, 13:05 UTC`."""
    return f"{day(value)}, {value:%H:%M} UTC"
