"""Roll a release back for quality, without bringing anything back that was erased.

The files of an earlier release are never served again: they lack the requests that came after. What
takes the place of the release is built from the base with all its requests at gentler settings:
each at the gentlest dial at which its probes stay unanswered. A request that does not bear a
gentler dial keeps its own, so that it stays erased, and is open again, to be carried out anew in
another way.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from excise.desk.ledger import Ledger, Release
from excise.desk.release.build import Piece, at_strength, exported, pieces_of, stacked
from excise.desk.release.manifest import MODEL, RUN, write_manifest
from excise.desk.release.tidying import tidy_files
from excise.desk.work.auditing import returned
from excise.desk.work.probes import answers, askable, read_probes, sample
from excise.desk.work.settings import model_settings
from excise.records.errors import InputError
from excise.records.writing import new_folder
from excise.vlm.load import VLM, load

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
            the reason is empty.
        Stale: another release came in between.
    """
    current = ledger.current(model)
    if current is None:
        raise InputError(f"model {model}: has no release to roll back")
    if not reason.strip():
        raise InputError("reason: is empty, expected a few words")
    entered = ledger.model(model)
    settings = model_settings(model, entered.settings)
    vlm = load(entered.source, **dict(settings.loading))
    if vlm.weights_hash != current.base_hash:
        raise InputError(f"model {model}: its base has changed since; excise desk work rebuilds it")
    pieces = pieces_of(ledger, current)
    home = ledger.settings.runs / f"rollback-{current.id}"
    chosen = _chosen(ledger, vlm, pieces, home, actor)
    gentler = [p.request for p in pieces if chosen[p.request].strength < p.strength]
    if not gentler:
        raise InputError(f"release {current.id}: no request bears a gentler dial; nothing was done")
    reopened = [id for id in askable(ledger, current.requests) if id not in gentler]
    folder = ledger.settings.releases / f"rollback-{current.id}"
    if folder.is_dir():  # of a rollback that was killed before the ledger knew of it
        shutil.rmtree(folder)
    run = stacked([*chosen.values()], home / "together")
    with new_folder(folder) as made:
        weights = exported(run, entered.source, made / MODEL, settings.kind)
        shutil.move(run.folder, made / RUN)
        manifest = write_manifest(
            made,
            model=model,
            kind=settings.kind,
            base={"name": vlm.name, "weights_hash": vlm.weights_hash},
            weights_hash=weights,
            requests={id: piece.about() for id, piece in chosen.items()},
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


def _chosen(
    ledger: Ledger, vlm: VLM, pieces: Sequence[Piece], home: Path, actor: str
) -> dict[str, Piece]:
    """Each request's piece at its gentlest dial, one after the other, the others as chosen so far.

    A last look asks everybody: a sum may bring back what none of its parts did, and then nobody's
    dial is turned.
    """
    as_released = {piece.request: piece for piece in pieces}
    chosen = dict(as_released)
    asked = askable(ledger, as_released)
    for piece in [as_released[id] for id in asked]:
        for factor in GENTLER:
            turned = at_strength(piece.run, factor * piece.strength)
            tried = chosen | {piece.request: Piece(piece.request, turned, piece.place)}
            if not _back(ledger, vlm, tried, home, [piece.request], actor):
                chosen = tried
                break
    if chosen != as_released and _back(ledger, vlm, chosen, home, asked, actor):
        return as_released
    return chosen


def _back(
    ledger: Ledger,
    vlm: VLM,
    pieces: Mapping[str, Piece],
    home: Path,
    requests: Sequence[str],
    actor: str,
) -> list[str]:
    """Whose memory is back with these pieces on the base."""
    run = stacked([*pieces.values()], home / "tried")
    counts: dict[str, tuple[int, int]] = {}
    with run.applied(vlm):
        for request in requests:
            with ledger.unlock(request, actor=actor, reason="rollback", part="probes") as folder:
                probes = sample(read_probes(folder))
                said = answers(vlm, folder, probes)
            counts[request] = sum(answer is not None for answer in said), len(probes)
    return returned(counts)
