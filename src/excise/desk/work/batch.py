"""One batch on its way to a release: which step is next, and what it leaves in the ledger.

`run` goes round: forget what has no run at its setting yet, audit everything together, move up the
ladder who failed. It leaves when a release is made or nobody is left. What has been done stands in
the batch's steps, so whoever goes round next, after a crash too, finds the same place: no training
is done twice, an audit that was not noted is.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from excise.desk.ledger import Batch, NotAllowed, Release, Request, Sealed, Stale, Step
from excise.desk.ledger.states import State
from excise.desk.release.build import Piece, pieces_of
from excise.desk.release.tidying import tidy_files
from excise.desk.work.answers import private_answers, public_answers, write_answers
from excise.desk.work.audited import audit_batch
from excise.desk.work.forgetting import Training, folder_of, run_of
from excise.desk.work.heart import Heart
from excise.desk.work.ladder import Setting, Way
from excise.desk.work.probes import read_probes, told, write_probes
from excise.desk.work.releasing import publish_release, record_health
from excise.desk.work.settings import ModelSettings, model_settings
from excise.desk.work.together import together
from excise.erasure.signing import signing_key
from excise.evaluate.attacks.run import plan as attacks
from excise.evaluate.gate import Gate
from excise.records.reading import read
from excise.vlm.load import VLM, load
from excise.vlm.weights_hash import hash_weights, weight_files
from excise.weights.run import Run

if TYPE_CHECKING:
    from excise.desk.work.worker import Worker

RETRAIN = "the ladder is at its end: retrain advised, without these records"
NOTHING = "the model tells nothing of this person when asked: there is nothing to forget"
CLEANER = "the data entered through an adapter only: retraining that adapter is the cleaner way"
LIVE: tuple[State, ...] = ("queued", "forgetting", "auditing", "passed")


class BatchWork:
    """The work on one claimed batch, step by step.

    Raises:
        InputError: settings, gate, data of others or signing key are wrong; before any training.
    """

    def __init__(self, worker: Worker, batch: Batch, heart: Heart) -> None:
        self.worker, self.heart, self.batch = worker, heart, batch
        self.ledger = worker.ledger
        self.model, self.source = batch.model.name, batch.model.source
        self.settings: ModelSettings = model_settings(self.model, batch.model.settings)
        self.home = self.ledger.settings.runs / batch.id
        given = self.settings
        self.gate = Gate.shipped("served") if given.gate is None else Gate.read(given.gate)
        self.gate.check(())
        attacks(given.preset, only=given.only)
        self.others = None if given.others is None else read(given.others)
        self.key = signing_key()
        self.base_hash = hash_weights(weight_files(self.source))
        self._vlm: VLM | None = None

    def run(self) -> None:
        """To the end: every request is released, failed or withdrawn."""
        if self.base_hash != self.batch.model.weights_hash:
            self._base_has_changed()
            return
        while live := self._live():
            try:
                if self._round(live):
                    break
            except Stale:
                self.worker.tell("another release came in between; building on that one")
            except (NotAllowed, Sealed):  # somebody took a request back in the meantime
                if [r.id for r in self._live()] == [r.id for r in live]:
                    raise
        self._shred()
        record_health(self)
        self.ledger.finish(self.batch, self.worker.name)
        tidy_files(self.ledger)

    def vlm(self) -> VLM:
        """The base, loaded when it is first needed."""
        if self._vlm is None:
            self._vlm = load(self.source, **dict(self.settings.loading))
        return self._vlm

    def gone(self, subject: str) -> bool:
        """Whether that person has asked to be forgotten, in this batch or before."""
        return self.ledger.has_asked(subject, self.model)

    def audits(self) -> list[Step]:
        """The batch's audits so far."""
        return [step for step in self.batch.steps if step.name.startswith("audit-")]

    def note(self, name: str, result: Mapping[str, Any], request: str | None = None) -> None:
        """A step that is done."""
        self.ledger.step(self.batch, name, "done", result, request=request)
        self.batch = self.ledger.batch(self.batch.id)

    # one round

    def _round(self, live: list[Request]) -> bool:
        """Forget, audit, release; whether that was the end of it."""
        with ExitStack() as unlocked:
            folders: dict[str, Path] = {}
            own: list[Piece] = []
            current = self.ledger.current(self.model)
            for request in live:
                setting = self._setting(request, current)
                if setting is None:
                    self._fail(request, RETRAIN)
                    continue
                folder = self._unlocked(request, unlocked)
                if folder is None:
                    self._fail(request, NOTHING)
                    continue
                own.append(self._forget(request, setting, folder))
                folders[request.id] = folder
            if not own:
                return False
            for id in folders:
                self._at(id, "auditing")
            with self.heart.holding(self.model):
                before = self.ledger.current(self.model)
                earlier = [p for p in pieces_of(self.ledger, before) if p.request not in folders]
                audited = audit_batch(self, folders, earlier, own)
                if not audited.verdict.passed:
                    return False
                shown = public_answers(self.vlm(), audited.run, audited.data, self.settings.seed)
                for piece in own:
                    write_answers(piece.run.folder, shown)
                    self._keep_probes(piece.request, folders[piece.request], audited.run)
                    self._at(piece.request, "passed")
                publish_release(self, before, audited)
                return True

    def _forget(self, request: Request, setting: Setting, folder: Path) -> Piece:
        """The request's run at its setting."""
        self.heart.require()
        place = self.home / request.id / folder_of(self.settings, setting)
        name = f"forget-{len(self._ways(request))}"
        if self.batch.done(name, request.id) is None:
            self._at(request.id, "forgetting")
        if request.entered == "adapter" and self.batch.done("advice", request.id) is None:
            self.note("advice", {"advice": CLEANER}, request.id)
            self.worker.tell(f"{request.id}: {CLEANER}")
        if self.settings.launch is not None:
            self._vlm = None  # the launched processes need its memory
        training = Training(
            source=self.source,
            vlm=self.vlm,
            data=together([folder], self.others, folder / "alone", self.gone),
            settings=self.settings,
            options={**self.settings.options, **setting.options},
            out=place,
            alive=self.heart.require,
        )
        run = run_of(training, setting, self.worker.make_run)
        piece = Piece(request.id, run, place.relative_to(self.ledger.settings.folder).as_posix())
        self.note(name, {"run": run.id, "strength": round(piece.strength, 4)}, request.id)
        self.worker.tell(f"{request.id}: forgotten, as {run.id}")
        return piece

    def _ways(self, request: Request) -> list[Way]:
        """Which way each audit so far sent this request."""
        found = [step.result["blame"].get(request.id) for step in self.audits()]
        return [way for way in found if way is not None]

    def _setting(self, request: Request, current: Release | None) -> Setting | None:
        reopened = current is not None and request.id in current.requests
        return self.settings.ladder.setting(self._ways(request), anew=reopened)

    # the vault

    def _unlocked(self, request: Request, unlocked: ExitStack) -> Path | None:
        """The request's data; once they are shredded what the base tells, asked through the probes.

        None if it tells nothing.
        """
        actor = self.worker.name
        if request.sealed.get("data") == "sealed":
            return unlocked.enter_context(
                self.ledger.unlock(request.id, actor=actor, reason="forgetting")
            )
        folder = unlocked.enter_context(
            self.ledger.unlock(request.id, actor=actor, reason="forgetting again", part="probes")
        )
        records = told(self.vlm(), folder, request.pseudonym)
        lines = "".join(f"{record.model_dump_json()}\n" for record in records)
        (folder / "records.jsonl").write_text(lines, encoding="utf-8")
        enough = any(record.fits for record in records) and any(r.scores for r in records)
        return folder if enough else None

    def _keep_probes(self, id: str, folder: Path, run: Run) -> None:
        """Seal what later audits need and what an officer may look at, before the data go."""
        sealed = self.ledger.request(id).sealed
        if sealed.get("data") == "sealed" and sealed.get("probes") != "sealed":
            probes = folder / "probes"
            probes.mkdir()
            write_probes(read(folder), probes)
            asked, seed = read_probes(probes), self.settings.seed
            write_answers(probes, private_answers(self.vlm(), run, probes, asked, seed))
            self.ledger.seal(id, probes, "probes", actor=self.worker.name)

    def _shred(self) -> None:
        """Destroy the data of what is released on all its models; a second time does nothing."""
        for request in self._requests():
            states = {part.state for part in request.parts}
            if "released" in states and states <= {"released", "withdrawn"}:
                self.ledger.shred(
                    request.id, actor=self.worker.name, reason="released", part="data"
                )

    # the ledger

    def _requests(self) -> list[Request]:
        self.batch = self.ledger.batch(self.batch.id)
        return list(self.batch.requests)

    def _live(self) -> list[Request]:
        self.heart.require()
        return [r for r in self._requests() if r.part(self.model).state in LIVE]

    def _at(self, id: str, state: State) -> None:
        """Move a request on unless it is there; out of `passed` there is but one way back."""
        now = self.ledger.request(id).part(self.model).state
        if now == "passed" and state == "forgetting":
            self._at(id, "auditing")
        if now != state:
            self.ledger.move(id, state, actor=self.worker.name, model=self.model)

    def _fail(self, request: Request, reason: str) -> None:
        audits = self.audits()
        figures = audits[-1].result["people"].get(request.id, {}) if audits else {}
        if request.part(self.model).state == "queued":
            self._at(request.id, "forgetting")
        self.ledger.move(
            request.id,
            "failed",
            actor=self.worker.name,
            model=self.model,
            reason=reason,
            figures=figures,
        )
        self.worker.tell(f"{request.id}: {reason}")

    def _base_has_changed(self) -> None:
        """The weights are others than those registered: everything on them starts anew."""
        self.worker.tell(f"{self.model}: its weights have changed; queueing its requests again")
        self.ledger.register_model(
            self.model,
            self.source,
            self.base_hash,
            actor=self.worker.name,
            settings=self.batch.model.settings,
        )
