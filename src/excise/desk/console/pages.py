"""The pages that people read, rendered on the server; usable without any script.

A page is `GET` and shows; a form is `POST`, does one thing, and leads back to a page, but for the
unlocked answers, which are shown once, in reply to the form that gave the reason, and lie at no
address of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from excise.desk.console import overview
from excise.desk.console.answers import KINDS, open_answers, unlocked
from excise.desk.console.api import VERIFYING, Id, Name, download, requeue, today
from excise.desk.console.evidence import evidence_of
from excise.desk.console.headers import WITH_PICTURES
from excise.desk.console.owned import require_own
from excise.desk.console.rendering import page, text
from excise.desk.console.roles import (
    ANYBODY,
    STAFF,
    Caller,
    Form,
    by_session,
    console_of,
    refuse_wrong_key,
    spend,
)
from excise.desk.console.sessions import cookie_name, form_is_ours, same_site, set_cookie
from excise.desk.console.uploads import form_of, submission, upload_of
from excise.desk.ledger.states import State
from excise.records.errors import InputError

router = APIRouter(include_in_schema=False)

Anybody = Annotated[Caller, Depends(by_session(*ANYBODY))]
Staff = Annotated[Caller, Depends(by_session(*STAFF))]
Submitter = Annotated[Caller, Depends(by_session("submitter", "officer"))]
Officer = Annotated[Caller, Depends(by_session("officer"))]
Retrier = Annotated[Caller, Depends(by_session("operator", "officer"))]
Controller = Annotated[Caller, Depends(by_session("officer", "auditor"))]

SAID = {
    "submitted": "Handed in. Keep the id: it is how the request is found again.",
    "identified": "Identity noted.",
    "accept": "Accepted and queued.",
    "refuse": "Refused; what came with it is shredded.",
    "extended": "Deadline extended.",
    "withdrawn": "Withdrawn; what came with it is shredded.",
    "retried": "Queued again.",
}


@router.get("/")
async def start() -> RedirectResponse:
    return RedirectResponse("/requests", 303)


@router.get("/login")
async def login_page(request: Request) -> HTMLResponse:
    """Where a key is asked for; without any key, how to make one."""
    console = console_of(request)
    await console.look()
    return page("login.html.j2", request, None, any_keys=console.has_keys(), wrong=False)


@router.post("/login")
async def login(request: Request) -> Response:
    console = console_of(request)
    await console.look()
    if not same_site(request):
        raise HTTPException(403, "form: did not come from a page of this console")
    form = await request.form(max_files=0, max_fields=5)
    given = form.get("key")
    key = console.key(given.strip()) if isinstance(given, str) else None
    if key is None:
        refuse_wrong_key(request)
        return page("login.html.j2", request, None, status=401, any_keys=True, wrong=True)
    request.state.key_id = key.id
    answer = RedirectResponse("/requests", 303)
    session = console.sessions.begin(key.id)
    settings = console.settings
    set_cookie(answer, session, tls=settings.tls, hours=settings.session_hours)
    return answer


@router.post("/logout", dependencies=[Form])
async def logout(request: Request, caller: Anybody) -> RedirectResponse:
    console = console_of(request)
    if caller.session:
        console.sessions.end(caller.session)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(cookie_name(console.settings.tls), path="/")
    return answer


@router.get("/requests")
async def requests(
    request: Request,
    caller: Anybody,
    state: Annotated[State | None, Query()] = None,
    model: Annotated[str | None, Query(max_length=200)] = None,
    after: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9._-]{1,80}$")] = None,
) -> HTMLResponse:
    """The list, nearest deadline first."""
    console = console_of(request)
    name = ("list", caller.sees, today(), state, model, after)
    shown = await console.answer(
        name, lambda: overview.requests(console, caller, today(), state, model or None, after)
    )
    lights: dict[str, int] = {}
    if caller.role != "submitter":
        lights = await console.answer(
            ("lights", today(), model or None),
            lambda: overview.lights(console, today(), model or None),
        )
    many = sum(lights.values()) >= overview.LOOKED_AT
    return page("requests.html.j2", request, caller, lights=lights, many=many, **shown)


@router.get("/requests/new")
async def new(request: Request, caller: Submitter) -> HTMLResponse:
    console = console_of(request)
    models = await console.answer("models", console.ledger.models)
    return page("new.html.j2", request, caller, models=models, wrong=None, given={})


@router.post("/requests")
async def submit(request: Request, caller: Submitter) -> Response:
    """The form's files and fields; what is wrong is said on the form, with the fields kept."""
    console = console_of(request)
    async with form_of(request, console) as form:
        if caller.session is None or not (
            same_site(request) and form_is_ours(caller.session, form.get("form_token"))
        ):
            raise HTTPException(403, "form: did not come from a page of this session")
        try:
            upload = await upload_of(form, console.settings)

            def enter() -> str:
                with submission(upload, console.ledger.settings.open_folder) as given:
                    return console.ledger.submit(given, actor=caller.actor)

            id = await console.in_thread(enter)
        except InputError as error:
            models = await console.answer("models", console.ledger.models)
            kept = {k: v for k, v in form.multi_items() if isinstance(v, str) and k != "form_token"}
            return page(
                "new.html.j2", request, caller,
                status=400, models=models, wrong=str(error), given=kept,
            )  # fmt: skip
    return RedirectResponse(f"/requests/{id}?said=submitted", 303)


@router.get("/requests/{request_id}")
async def one(
    request: Request,
    caller: Anybody,
    request_id: Id,
    said: Annotated[str | None, Query(max_length=20)] = None,
) -> HTMLResponse:
    """One request, from its first day to its evidence."""
    console = console_of(request)

    def make() -> dict[str, Any]:
        require_own(console, caller, request_id)
        return overview.request(console, caller, request_id, today())

    shown = await console.answer(("one", caller.sees, today(), request_id), make, request_id)
    return page("request.html.j2", request, caller, said=SAID.get(said or ""), **shown)


async def _act(request: Request, act: Callable[[], object]) -> None:
    await console_of(request).in_thread(act)


def _back(request_id: str, said: str) -> RedirectResponse:
    return RedirectResponse(f"/requests/{request_id}?said={said}", 303)


async def _reason(request: Request) -> str:
    """The reason that a form gives. Raises InputError if it gives none."""
    given = (await request.form()).get("reason")
    reason = " ".join(given.split()) if isinstance(given, str) else ""
    if not 3 <= len(reason) <= 500:
        raise InputError("reason: expected 3 to 500 characters; it goes into the log")
    return reason


@router.post("/requests/{request_id}/identify", dependencies=[Form])
async def identify(request: Request, caller: Officer, request_id: Id) -> Response:
    reason, ledger = await _reason(request), console_of(request).ledger
    await _act(
        request, lambda: ledger.move(request_id, "identified", actor=caller.actor, reason=reason)
    )
    return _back(request_id, "identified")


@router.post("/requests/{request_id}/decision", dependencies=[Form])
async def decide(request: Request, caller: Officer, request_id: Id) -> Response:
    reason, ledger = await _reason(request), console_of(request).ledger
    decision = (await request.form()).get("decision")
    if decision not in ("accept", "refuse"):
        raise InputError("decision: expected accept or refuse")
    await _act(request, lambda: ledger.decide(request_id, decision, reason, actor=caller.actor))  # type: ignore[arg-type]
    return _back(request_id, str(decision))


@router.post("/requests/{request_id}/extension", dependencies=[Form])
async def extend(request: Request, caller: Officer, request_id: Id) -> Response:
    reason, ledger = await _reason(request), console_of(request).ledger
    months = (await request.form()).get("months")
    if months not in ("1", "2"):
        raise InputError("months: expected 1 or 2")
    await _act(
        request, lambda: ledger.extend(request_id, int(str(months)), reason, actor=caller.actor)
    )
    return _back(request_id, "extended")


@router.post("/requests/{request_id}/withdrawal", dependencies=[Form])
async def withdraw(request: Request, caller: Submitter, request_id: Id) -> Response:
    reason, console = await _reason(request), console_of(request)

    def act() -> None:
        require_own(console, caller, request_id)
        console.ledger.withdraw(request_id, reason, actor=caller.actor)

    await _act(request, act)
    return _back(request_id, "withdrawn")


@router.post("/requests/{request_id}/retry", dependencies=[Form])
async def retry(request: Request, caller: Retrier, request_id: Id) -> Response:
    reason, ledger = await _reason(request), console_of(request).ledger
    await _act(request, lambda: requeue(ledger, request_id, reason, caller.actor))
    return _back(request_id, "retried")


@router.get("/requests/{request_id}/evidence/{model}")
async def evidence(request: Request, caller: Anybody, request_id: Id, model: Name) -> Response:
    console = console_of(request)

    def make() -> tuple[str, bytes]:
        require_own(console, caller, request_id)
        return evidence_of(console, request_id, model)

    return download(*await console.in_thread(make))


@router.get("/requests/{request_id}/answers")
async def answers(request: Request, caller: Staff, request_id: Id) -> HTMLResponse:
    """Before and after on what is nobody's secret, and the form that unlocks the rest."""
    console = console_of(request)

    def make() -> dict[str, Any]:
        found = console.ledger.request(request_id)
        shelves = [(part.model, open_answers(console, part)) for part in found.parts]
        return {
            "erasure": found,
            "shelves": [(model, items) for model, items in shelves if items],
            "sealed": "sealed" in found.sealed.values(),
            "kinds": KINDS,
            "unlocked": None,
            "reason": "",
        }

    return page("answers.html.j2", request, caller, **await console.in_thread(make))


@router.post("/requests/{request_id}/unlock", dependencies=[Form])
async def unlock(request: Request, caller: Officer, request_id: Id) -> HTMLResponse:
    """The private questions, once; who, when and why is in the log before they are opened."""
    reason, console = await _reason(request), console_of(request)

    def make() -> dict[str, Any]:
        opened = unlocked(console, request_id, caller.actor, reason)
        found = console.ledger.request(request_id)
        return {
            "erasure": found,
            "shelves": [],
            "sealed": True,
            "kinds": KINDS,
            "unlocked": opened,
            "reason": reason,
        }

    shown = await console.in_thread(make)
    policy = {"content-security-policy": WITH_PICTURES}
    return page("answers.html.j2", request, caller, headers=policy, **shown)


@router.get("/models")
async def models(request: Request, caller: Staff) -> HTMLResponse:
    console = console_of(request)
    shown = await console.answer(("models",), lambda: overview.models(console))
    return page("models.html.j2", request, caller, models=shown)


@router.get("/models/{model}")
async def health(request: Request, caller: Staff, model: Name) -> HTMLResponse:
    """The model over its batches: curves, and the table behind them."""
    console = console_of(request)
    shown = await console.answer(("health", model), lambda: overview.health(console, model))
    return page("health.html.j2", request, caller, **shown)


@router.get("/log")
async def log(
    request: Request,
    caller: Controller,
    before: Annotated[int | None, Query(ge=1, le=2**53)] = None,
) -> HTMLResponse:
    """The chain, newest first."""
    console = console_of(request)
    shown = await console.answer(("log", before), lambda: overview.log(console, before))
    return page("log.html.j2", request, caller, broken=None, checked=False, **shown)


@router.post("/verify", dependencies=[Form])
async def verify(request: Request, caller: Controller) -> HTMLResponse:
    """Walk the chain and say what does not hold."""
    spend(request, caller, VERIFYING)
    console = console_of(request)
    async with console.verifying:
        broken = await console.in_thread(console.ledger.verify)
    shown = await console.in_thread(lambda: overview.log(console, None))
    return page("log.html.j2", request, caller, broken=broken, checked=True, **shown)


@router.get("/keys")
async def keys(request: Request, caller: Controller) -> HTMLResponse:
    console = console_of(request)
    found = await console.answer("keys", console.ledger.keys)
    return page("keys.html.j2", request, caller, keys=found)


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    """The API, drawn from its OpenAPI document on the server: no script, nothing from elsewhere."""
    console = console_of(request)
    shown = await console.answer(
        "docs", lambda: text("docs.html.j2", request, None, api=request.app.openapi())
    )
    return HTMLResponse(shown)
