"""Roll a release back for quality, without bringing anything back that was erased.

The files of an earlier release are never served again: they lack the requests that came after. What
takes the place of the release is built from the base with all its requests at gentler settings:
each batch's adapter at the gentlest dial at which the probes of its requests stay unanswered. Where
one bears no gentler dial it keeps its own, so that its requests stay erased, and those are open
again, to be carried out anew in another way.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from excise.desk.ledger import Ledger, Release
from excise.desk.release.build import Built, Piece, built_of, exported, scaled, settled
from excise.desk.release.manifest import MODEL, RUN, write_manifest
from excise.desk.release.tidying import tidy_files
from excise.desk.work.auditing import returned
from excise.desk.work.probes import answers, askable, read_probes, sample
from excise.desk.work.settings import model_settings
from excise.records.errors import InputError
from excise.records.writing import new_folder
from excise.vlm.load import VLM, load
from excise.weights.run import Run

GENTLER = (0.7, 0.85)
"""Strengths that are tried, the gentlest first, beside the one that was released."""


@dataclass(frozen=True)
class RolledBack:
    """What came of it: the release that is current now, and who is open again."""

    release: Release
    gentler: tuple[str, ...]
    reopened: tuple[str, ...]


def roll_back(
    ledger: Ledger,
    model: str,
    *,
    reason: str,
    actor: str,
    tell: Callable[[str], None] = lambda line: None,
) -> RolledBack:
    """Rebuild the current release of a model at gentler settings.

    Raises:
        InputError: there is no release, its base has changed, no request bears a gentler dial, or
            the reason is empty or names somebody.
        Stale: another release came in between.
    """
    current = ledger.current(model)
    if current is None:
        raise InputError(f"model {model}: has no release to roll back")
    reason = ledger.reason(reason, current.requests)
    entered = ledger.model(model)
    settings = model_settings(model, entered.settings)
    vlm = load(entered.source, **dict(settings.loading))
    if vlm.weights_hash != current.base_hash:
        raise InputError(f"model {model}: its base has changed since; excise desk work rebuilds it")
    built = built_of(ledger, current)
    assert built is not None
    home = ledger.settings.runs / f"rollback-{current.id}"
    turned = _turned(ledger, vlm, built, actor)
    gentler = [id for piece in built.pieces if turned.get(piece) for id in piece.requests]
    if not gentler:
        raise InputError(f"release {current.id}: no request bears a gentler dial; nothing was done")
    reopened = [id for id in askable(ledger, current.requests) if id not in gentler]
    folder = ledger.settings.releases / f"rollback-{current.id}"
    if folder.is_dir():  # of a rollback that was killed before the ledger knew of it
        shutil.rmtree(folder)
    run = settled(_at(built, turned), home / "together")
    made_of = Built(run, built.pieces)
    with new_folder(folder) as made:
        weights = exported(run, entered.source, made / MODEL, settings.kind)
        shutil.move(run.folder, made / RUN)
        manifest = write_manifest(
            made,
            model=model,
            kind=settings.kind,
            base={"name": vlm.name, "weights_hash": vlm.weights_hash},
            weights_hash=weights,
            run=run.id,
            requests=made_of.about(),
            figures={},
            earlier=[release.folder for release in ledger.releases(model)],
            date=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
    release = ledger.release(
        model,
        kind=settings.kind,
        folder=folder.relative_to(ledger.settings.folder).as_posix(),
        weights_hash=weights,
        manifest_hash=manifest,
        requests=current.requests,
        actor=actor,
        after=current.id,
        instead_of=current.id,
        reopen=reopened,
        reason=reason,
    )
    tidy_files(ledger)
    tell(f"release {release.id}: {len(gentler)} requests gentler, {len(reopened)} open again")
    return RolledBack(release, tuple(gentler), tuple(reopened))


def _turned(ledger: Ledger, vlm: VLM, built: Built, actor: str) -> dict[Piece, float]:
    """The factor on each piece's dial, of those that bear one: the newest first, the others as
    chosen so far.

    A last look asks everybody: together they may bring back what none did, and then no dial is
    turned.
    """
    turned: dict[Piece, float] = {}
    asked = askable(ledger, built.requests)
    for piece in built.pieces:
        own = [id for id in piece.requests if id in asked]
        for factor in GENTLER if own else ():
            tried = turned | {piece: factor}
            if not _back(ledger, vlm, _at(built, tried), own, actor):
                turned = tried
                break
    if turned and _back(ledger, vlm, _at(built, turned), asked, actor):
        return {}
    return turned


def _at(built: Built, turned: Mapping[Piece, float]) -> Run:
    """The run with those pieces' dials turned."""
    return scaled(
        built.run, {name: factor for piece, factor in turned.items() for name in piece.adapters}
    )


def _back(ledger: Ledger, vlm: VLM, run: Run, requests: Sequence[str], actor: str) -> list[str]:
    """Whose memory is back with this run on the base."""
    counts: dict[str, tuple[int, int]] = {}
    with run.applied(vlm):
        for request in requests:
            with ledger.unlock(request, actor=actor, reason="rollback", part="probes") as folder:
                probes = sample(read_probes(folder))
                said = answers(vlm, folder, probes)
            counts[request] = sum(answer is not None for answer in said), len(probes)
    return returned(counts)
