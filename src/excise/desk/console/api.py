"""The JSON API under /api: everything that the pages can do, for programs.

Reads give answers that `state.Console` keeps until the ledger changes. Writes are one call of the
ledger each, under the key's id as actor; what the ledger refuses becomes a status code in `app.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import JSONResponse, Response

from excise.desk.console import shapes, views
from excise.desk.console.again import name_of
from excise.desk.console.evidence import evidence_of
from excise.desk.console.kept import Answer
from excise.desk.console.owned import own_page, require_own
from excise.desk.console.roles import ANYBODY, STAFF, Caller, by_key, console_of, spend
from excise.desk.console.uploads import form_of, submission, upload_of
from excise.desk.ledger.entities import Request as Erasure
from excise.desk.ledger.states import State

router = APIRouter(
    prefix="/api",
    responses={
        code: {"model": shapes.Problem, "description": said}
        for code, said in (
            (401, "no valid key"),
            (403, "a key of another role"),
            (422, "a parameter or the body is of the wrong form"),
            (429, "too many requests; Retry-After says when to ask again"),
            (503, "the ledger is locked, or too many uploads; Retry-After says when"),
        )
    },
)
UNKNOWN: dict[int | str, dict[str, Any]] = {
    404: {"model": shapes.Problem, "description": "no such thing, or somebody else's"}
}
CHANGES: dict[int | str, dict[str, Any]] = {
    **UNKNOWN,
    400: {"model": shapes.Problem, "description": "the ledger refuses what was given"},
    409: {"model": shapes.Problem, "description": "the state of the request does not allow it"},
}
VERIFYING = 20.0  # tokens: it reads the whole log and every ciphertext

Id = Annotated[str, Path(pattern=r"^[A-Za-z0-9._-]{1,80}$", description="Such as r-3f9a1c.")]
Name = Annotated[str, Path(min_length=1, max_length=200, description="A registered model.")]
Anybody = Annotated[Caller, Depends(by_key(*ANYBODY))]
Staff = Annotated[Caller, Depends(by_key(*STAFF))]
Submitter = Annotated[Caller, Depends(by_key("submitter", "officer"))]
Officer = Annotated[Caller, Depends(by_key("officer"))]
Retrier = Annotated[Caller, Depends(by_key("operator", "officer"))]
Controller = Annotated[Caller, Depends(by_key("officer", "auditor"))]


def today() -> date:
    return datetime.now(UTC).date()


async def _kept(
    request: Request, caller: Caller, make: Callable[[], Any], about: str | None = None
) -> Response:
    """The JSON that `make` gives, kept while it and the day stay the same."""
    route = request.scope.get("route")

    def answer() -> Answer:
        return Answer(json.dumps(make(), ensure_ascii=False, allow_nan=False).encode(), route)

    kept = await console_of(request).answer(name_of(request.scope, caller), answer, about)
    return Response(kept.body, media_type="application/json")


@router.get("/me", response_model=shapes.Me)
async def me(caller: Anybody) -> dict[str, Any]:
    """Which key this is."""
    return {"key": caller.key.id, "role": caller.role}


@router.get("/requests", response_model=shapes.RequestsOut, responses=UNKNOWN)
async def requests(
    request: Request,
    caller: Anybody,
    state: Annotated[list[State] | None, Query(max_length=9)] = None,
    model: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9._-]{1,80}$")] = None,
) -> Response:
    """Requests, nearest deadline first; a submitter's own, newest first."""
    console = console_of(request)

    def make() -> dict[str, Any]:
        if caller.role == "submitter":
            found = own_page(console, caller.key.id, state, model, limit + 1, after)
        else:
            found = console.ledger.requests(states=state, model=model, limit=limit + 1, after=after)
        shown = found[:limit]
        return {
            "requests": [views.request_view(r, today()) for r in shown],
            "next": shown[-1].id if len(found) > limit else None,
        }

    return await _kept(request, caller, make)


UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["models"],
                    "properties": {
                        "models": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                        "subject": {"type": "string", "description": "As in the records."},
                        "name": {"type": "string"},
                        "legal_basis": {"type": "string"},
                        "received": {"type": "string", "format": "date"},
                        "deadline": {"type": "string", "format": "date"},
                        "identified": {"type": "string", "enum": ["yes", "no"]},
                        "late": {"type": "string", "enum": ["yes", "no"]},
                        "entered": {"type": "string", "enum": ["base", "adapter"]},
                        "records": {"type": "string", "format": "binary"},
                        "pictures": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                        },
                        "folder": {"type": "string", "format": "binary", "description": "A zip."},
                    },
                },
                "encoding": {"models": {"style": "form", "explode": True}},
            }
        },
    }
}


@router.post(
    "/requests",
    status_code=201,
    response_model=shapes.Submitted,
    openapi_extra=UPLOAD,
    responses={
        **CHANGES,
        408: {"model": shapes.Problem, "description": "the upload took too long"},
        413: {"model": shapes.Problem, "description": "the upload is too large"},
        415: {"model": shapes.Problem, "description": "not multipart/form-data"},
    },
)
async def submit(request: Request, caller: Submitter) -> JSONResponse:
    """Hand in: records.jsonl with its pictures, a zip of a data folder, pictures, or a name."""
    console = console_of(request)
    async with form_of(request, console) as form:
        upload = await upload_of(form, console.settings)

        def enter() -> str:
            with submission(upload, console.ledger.settings.open_folder) as given:
                return console.ledger.submit(given, actor=caller.actor)

        return JSONResponse({"id": await console.in_thread(enter)}, 201)


@router.get("/requests/{request_id}", response_model=shapes.RequestOut, responses=UNKNOWN)
async def one(request: Request, caller: Anybody, request_id: Id) -> Response:
    """One request: its states, deadline, figures, evidence."""
    console = console_of(request)

    def make() -> dict[str, Any]:
        require_own(console, caller, request_id)
        return views.request_view(console.ledger.request(request_id), today())

    return await _kept(request, caller, make, request_id)


@router.get("/requests/{request_id}/log", response_model=list[shapes.EntryOut], responses=UNKNOWN)
async def history(request: Request, caller: Staff, request_id: Id) -> Response:
    """All that happened to it."""
    console = console_of(request)

    return await _kept(
        request,
        caller,
        lambda: [views.entry_view(entry) for entry in console.ledger.entries(request_id)],
        request_id,
    )


@router.get(
    "/requests/{request_id}/evidence/{model}",
    response_class=Response,
    responses={
        **UNKNOWN,
        200: {
            "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
            "description": "evidence.json with the audit and its page, as they were signed",
        },
        409: {"model": shapes.Problem, "description": "the file is not the one that was signed"},
    },
)
async def evidence(request: Request, caller: Anybody, request_id: Id, model: Name) -> Response:
    """The signed evidence as a zip, checked against the hash in the ledger."""
    console = console_of(request)

    def make() -> tuple[str, bytes]:
        require_own(console, caller, request_id)
        return evidence_of(console, request_id, model)

    return download(*await console.in_thread(make))


def download(name: str, content: bytes) -> Response:
    """A file that browsers keep and never show."""
    return Response(
        content,
        media_type="application/zip",
        headers={"content-disposition": f'attachment; filename="{name}"'},
    )


async def _changed(request: Request, act: Callable[[], Erasure]) -> JSONResponse:
    changed = await console_of(request).in_thread(act)
    return JSONResponse(views.request_view(changed, today()))


@router.post("/requests/{request_id}/identify", response_model=shapes.RequestOut, responses=CHANGES)
async def identify(
    request: Request, caller: Officer, request_id: Id, given: shapes.Reason
) -> JSONResponse:
    """The person is who they say they are; the reason says how that was seen."""
    ledger = console_of(request).ledger
    return await _changed(
        request,
        lambda: ledger.move(request_id, "identified", actor=caller.actor, reason=given.reason),
    )


@router.post("/requests/{request_id}/decision", response_model=shapes.RequestOut, responses=CHANGES)
async def decide(
    request: Request, caller: Officer, request_id: Id, given: shapes.DecisionIn
) -> JSONResponse:
    """Accept, which queues it, or refuse under an exception, which closes it."""
    ledger = console_of(request).ledger
    return await _changed(
        request,
        lambda: ledger.decide(request_id, given.decision, given.reason, actor=caller.actor),
    )


@router.post(
    "/requests/{request_id}/extension", response_model=shapes.RequestOut, responses=CHANGES
)
async def extend(
    request: Request, caller: Officer, request_id: Id, given: shapes.ExtensionIn
) -> JSONResponse:
    """A later deadline, with the reason that the person is told."""
    ledger = console_of(request).ledger
    return await _changed(
        request,
        lambda: ledger.extend(request_id, given.months, given.reason, actor=caller.actor),
    )


@router.post(
    "/requests/{request_id}/withdrawal", response_model=shapes.RequestOut, responses=CHANGES
)
async def withdraw(
    request: Request, caller: Submitter, request_id: Id, given: shapes.Reason
) -> JSONResponse:
    """The person takes it back; what came with it is shredded."""
    console = console_of(request)

    def act() -> Erasure:
        require_own(console, caller, request_id)
        return console.ledger.withdraw(request_id, given.reason, actor=caller.actor)

    return await _changed(request, act)


@router.post("/requests/{request_id}/retry", response_model=shapes.RequestOut, responses=CHANGES)
async def retry(
    request: Request, caller: Retrier, request_id: Id, given: shapes.Reason
) -> JSONResponse:
    """Queue again what failed."""
    ledger = console_of(request).ledger
    return await _changed(request, lambda: requeue(ledger, request_id, given.reason, caller.actor))


def requeue(ledger: Any, request_id: str, reason: str, actor: str) -> Erasure:
    """Queue every part that failed again.

    Raises:
        HTTPException: 409, none has failed.
    """
    found: Erasure = ledger.request(request_id)
    failed = [part.model for part in found.parts if part.state == "failed"]
    if not failed:
        raise HTTPException(409, f"{request_id}: nothing of it has failed")
    for model in failed:
        found = ledger.move(request_id, "queued", actor=actor, model=model, reason=reason)
    return found


@router.get("/models", response_model=list[shapes.ModelOut])
async def models(request: Request, caller: Staff) -> Response:
    """The registered models, with their requests by state."""
    ledger = console_of(request).ledger
    return await _kept(
        request,
        caller,
        lambda: [
            views.model_view(m, ledger.counts(m.name), ledger.current(m.name))
            for m in ledger.models()
        ],
    )


@router.get("/models/{model}/health", response_model=list[shapes.HealthOut], responses=UNKNOWN)
async def health(request: Request, caller: Staff, model: Name) -> Response:
    """What every batch so far did to the model, all together."""
    ledger = console_of(request).ledger

    def make() -> list[dict[str, Any]]:
        ledger.model(model)
        return [views.health_view(h) for h in ledger.health(model)]

    return await _kept(request, caller, make)


@router.get("/releases", response_model=list[shapes.ReleaseOut])
async def releases(request: Request, caller: Staff) -> Response:
    """All releases, newest first."""
    ledger = console_of(request).ledger
    return await _kept(request, caller, lambda: [views.release_view(r) for r in ledger.releases()])


@router.get("/batches", response_model=list[shapes.BatchOut])
async def batches(request: Request, caller: Staff) -> JSONResponse:
    """What is being worked on. Heartbeats are not in the log, so this is read anew each time."""
    console = console_of(request)
    found = await console.in_thread(console.ledger.batches)
    return JSONResponse([views.batch_view(b) for b in found])


@router.get("/log", response_model=shapes.EntriesOut)
async def log(
    request: Request,
    caller: Controller,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Response:
    """The chain, from its beginning or after an entry."""
    console = console_of(request)

    def make() -> dict[str, Any]:
        entries = console.ledger.entries(after=after, limit=limit)
        return {"head": console.head, "entries": [views.entry_view(e) for e in entries]}

    return await _kept(request, caller, make)


@router.post("/verify", response_model=shapes.Verdict)
async def verify(request: Request, caller: Controller) -> dict[str, Any]:
    """Walk the chain, compare every row and every ciphertext with it. One at a time."""
    spend(request, caller, VERIFYING)
    console = console_of(request)
    async with console.verifying:
        broken = await console.in_thread(console.ledger.verify)
    return {
        "whole": broken is None,
        "broken": None if broken is None else str(broken),
        "entry": None if broken is None else broken.entry,
        "head": console.head,
    }


@router.get("/keys", response_model=list[shapes.KeyOut])
async def keys(request: Request, caller: Controller) -> Response:
    """Who may call, without the hashes. Keys are made and revoked on the command line only."""
    ledger = console_of(request).ledger
    return await _kept(request, caller, lambda: list(map(views.key_view, ledger.keys())))
