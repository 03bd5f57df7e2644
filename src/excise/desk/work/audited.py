"""The audit of a batch together with everything released before it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from excise.desk.release.build import Built, settled
from excise.desk.work.auditing import Verdict, figures_of, judge, means
from excise.desk.work.probes import answers, askable, read_probes, sample
from excise.desk.work.together import together
from excise.erasure.audit import audit
from excise.records.data import Data
from excise.records.pseudonym import pseudonym
from excise.records.reading import read
from excise.vlm.load import load
from excise.weights.run import Run

if TYPE_CHECKING:
    from excise.desk.work.batch import BatchWork


@dataclass(frozen=True)
class Audited:
    """What was audited, with what, and what it said."""

    built: Built
    data: Data
    verdict: Verdict
    pseudonyms: Mapping[str, str]
    """By request, in this audit."""
    number: int


def audit_batch(work: BatchWork, folders: Mapping[str, Path], made: Built) -> Audited:
    """Audit, ask about the earlier requests again, and note the verdict as a step."""
    settings, number = work.settings, len(work.audits())
    run = settled(made.run, work.home / f"together-{number}")
    place = next(iter(folders.values())) / f"audited-{number}"
    data = together([*folders.values()], work.others, place, work.gone)
    salt, names = _pseudonyms(folders)
    result = audit(
        work.vlm(),
        data,
        run=run,
        reference=None if settings.reference is None else load(settings.reference),
        gate=work.gate,
        preset=settings.preset,
        only=settings.only,
        seed=settings.seed,
        salt=salt,
        progress=lambda stage, done, total: work.heart.require(),
    )
    back = _asked_again(work, run, [id for id in made.requests if id not in folders])
    verdict = judge(result, {name: id for id, name in names.items()}, back)
    failed = [line["figure"] for line in result["gate"]["lines"] if line["status"] == "failed"]
    work.note(
        f"audit-{number}",
        {
            "passed": verdict.passed,
            "blame": dict(verdict.blame),
            "earlier": {id: list(counts) for id, counts in back.items()},
            "people": {id: figures_of(result, name) for id, name in names.items()},
            "figures": means(result),
            "failed": failed,
        },
    )
    word = "passed" if verdict.passed else f"not passed ({', '.join(failed) or 'earlier requests'})"
    work.worker.tell(f"audit {number} of batch {work.batch.id}: {word}")
    return Audited(replace(made, run=run), data, verdict, names, number)


def _pseudonyms(folders: Mapping[str, Path]) -> tuple[str, dict[str, str]]:
    """A salt that nobody keeps, and who is called what under it, by request."""
    people = {id: read(folder).subjects("forget")[0] for id, folder in folders.items()}
    while True:
        salt = secrets.token_hex(16)
        names = {id: pseudonym(person, salt) for id, person in people.items()}
        if len({*names.values()}) == len(names):
            return salt, names


def _asked_again(work: BatchWork, run: Run, requests: Sequence[str]) -> dict[str, tuple[int, int]]:
    """The probes of earlier requests, put to the model with everything on it."""
    found: dict[str, tuple[int, int]] = {}
    vlm = work.vlm()
    with run.applied(vlm):
        for id in askable(work.ledger, requests):
            work.heart.require()
            with work.ledger.unlock(
                id, actor=work.worker.name, reason="audited again", part="probes"
            ) as folder:
                probes = sample(read_probes(folder), work.settings.seed)
                said = answers(vlm, folder, probes)
            found[id] = sum(answer is not None for answer in said), len(probes)
    return found
