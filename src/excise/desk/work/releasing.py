"""From a passed audit to a release: export, sign, describe, and then one transaction."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from excise.desk.ledger import Release
from excise.desk.release.build import exported
from excise.desk.release.manifest import EVIDENCE, MODEL, RUN, file_hash, write_manifest
from excise.desk.work.answers import public_answers, write_answers
from excise.desk.work.audited import Audited
from excise.desk.work.auditing import figures_of, means
from excise.erasure.conduct import publish
from excise.erasure.folder_hash import folder_hash
from excise.records.writing import new_folder
from excise.report.audit_page import render

if TYPE_CHECKING:
    from excise.desk.work.batch import BatchWork


def publish_release(work: BatchWork, before: Release | None, audited: Audited) -> Release:
    """Make the release folder, whole or not at all, and enter it in the ledger.

    Raises:
        Stale: another release came in between.
        InputError, VerificationFailed: the disk is full, or the export is not what was audited;
            nothing is released.
    """
    ledger, home = work.ledger, work.ledger.settings.folder
    folder = ledger.settings.releases / f"{work.batch.id}-{audited.number}"
    built = audited.built
    covered = sorted(built.requests)
    with new_folder(folder) as made:
        write_answers(made, public_answers(work.vlm(), built.run, audited.data, work.settings.seed))
        weights = exported(built.run, work.source, made / MODEL, work.settings.kind)
        work.heart.require()
        audit: dict[str, Any] = {
            **audited.verdict.audit,
            "export": {"run": built.run.id, "hash": folder_hash(made / MODEL)},
        }
        publish(
            audit,
            made / EVIDENCE,
            data=audited.data,
            key=work.key,
            page=render,
            run=built.run.folder,
            export=made / MODEL,
        )
        shutil.move(built.run.folder, made / RUN)
        manifest = write_manifest(
            made,
            model=work.model,
            kind=work.settings.kind,
            base={"name": work.vlm().name, "weights_hash": work.base_hash},
            weights_hash=weights,
            run=built.run.id,
            requests=built.about(),
            figures=means(audit),
            earlier=[release.folder for release in ledger.releases(work.model)],
            date=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
    evidence = folder / EVIDENCE / "evidence.json"
    for id, pseudonym in audited.pseudonyms.items():
        ledger.note(
            id,
            actor=work.worker.name,
            model=work.model,
            figures=figures_of(audit, pseudonym),
            run=folder.relative_to(home).as_posix(),
            evidence={
                "file": evidence.relative_to(home).as_posix(),
                "sha256": file_hash(evidence),
                "person": pseudonym,
            },
        )
    release = ledger.release(
        work.model,
        kind=work.settings.kind,
        folder=folder.relative_to(home).as_posix(),
        weights_hash=weights,
        manifest_hash=manifest,
        requests=covered,
        actor=work.worker.name,
        after=None if before is None else before.id,
        figures=means(audit),
        batch=work.batch,
    )
    work.worker.tell(f"release {release.id}: {len(covered)} requests covered")
    return release


def record_health(work: BatchWork) -> None:
    """The model with everything on it, and whether a rebuild is due; once for the batch's release.

    After the release and not with it: whoever goes on with a batch that was released finds that
    this is still to be done.
    """
    ledger, id = work.ledger, work.batch.id
    made = [r for r in ledger.releases(work.model) if r.folder.startswith(f"releases/{id}-")]
    if not made or any(health.batch == id for health in ledger.health(work.model)):
        return
    release, figures = made[0], made[0].figures
    budget = work.settings.budget
    due = [
        name
        for name, least in (
            ("kept.memory", budget.memory),
            ("kept.understanding.retain", budget.understanding),
            ("kept.understanding.unseen", budget.understanding),
        )
        if name in figures and figures[name] < least
    ]
    earlier = work.audits()[-1].result["earlier"].values()
    ledger.record_health(
        work.model,
        {
            **figures,
            "covered": len(release.requests),
            "earlier.back": max((told / max(1, asked) for told, asked in earlier), default=0.0),
            "rebuild_due": float(bool(due)),
        },
        actor=work.worker.name,
        batch=id,
        release=release.id,
    )
    if due:
        work.worker.tell(f"{work.model}: {', '.join(due)} below the budget; a rebuild is due")
