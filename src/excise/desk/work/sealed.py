"""What a batch takes out of the vault, what it leaves there, and what it destroys."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from excise.desk.ledger import Request
from excise.desk.work.answers import private_answers, write_answers
from excise.desk.work.probes import read_probes, told, write_probes
from excise.records.reading import read
from excise.weights.run import Run

if TYPE_CHECKING:
    from excise.desk.work.batch import BatchWork


def unlocked_data(work: BatchWork, request: Request, unlocked: ExitStack) -> Path | None:
    """The request's data; once they are shredded what the base tells, asked through the probes.

    None if it tells nothing.
    """
    if request.sealed.get("data") == "sealed":
        return unlocked.enter_context(
            work.ledger.unlock(request.id, actor=work.worker.name, reason="forgetting")
        )
    return told_by_base(work, request.id, unlocked, "forgetting again")


def told_by_base(work: BatchWork, id: str, unlocked: ExitStack, reason: str) -> Path | None:
    """Records of what the base tells when it is asked a request's probes; None if nothing."""
    folder = unlocked.enter_context(
        work.ledger.unlock(id, actor=work.worker.name, reason=reason, part="probes")
    )
    records = told(work.vlm(), folder, work.ledger.request(id).pseudonym)
    lines = "".join(f"{record.model_dump_json()}\n" for record in records)
    (folder / "records.jsonl").write_text(lines, encoding="utf-8")
    enough = any(record.fits for record in records) and any(r.scores for r in records)
    return folder if enough else None


def keep_probes(work: BatchWork, id: str, folder: Path, run: Run) -> None:
    """Seal what later audits need and what an officer may look at, before the data go."""
    sealed = work.ledger.request(id).sealed
    if sealed.get("data") == "sealed" and sealed.get("probes") != "sealed":
        probes = folder / "probes"
        probes.mkdir()
        write_probes(read(folder), probes)
        asked, seed = read_probes(probes), work.settings.seed
        write_answers(probes, private_answers(work.vlm(), run, probes, asked, seed))
        work.ledger.seal(id, probes, "probes", actor=work.worker.name)


def shred_released(work: BatchWork) -> None:
    """Destroy the data of what is released on all its models; a second time does nothing."""
    for request in work.requests():
        states = {part.state for part in request.parts}
        if "released" in states and states <= {"released", "withdrawn"}:
            work.ledger.shred(request.id, actor=work.worker.name, reason="released", part="data")
