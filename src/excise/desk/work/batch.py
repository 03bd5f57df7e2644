"""One batch on its way to a release: which step is next, and what it leaves in the ledger.

`run` goes round: forget what has no run at its setting yet, audit everything together, move up the
ladder who failed. It leaves when a release is made or nobody is left. What has been done stands in
the batch's steps, so whoever goes round next, after a crash too, finds the same place: no training
is done twice, an audit that was not noted is.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from excise.desk.ledger import Batch, NotAllowed, Release, Request, Sealed, Stale, Step
from excise.desk.ledger.states import State
from excise.desk.release.build import Built, built_of, built_upon, own_scaled
from excise.desk.release.tidying import tidy_files
from excise.desk.work.audited import audit_batch
from excise.desk.work.auditing import given_up, way_of
from excise.desk.work.forgetting import Training, folder_of
from excise.desk.work.heart import Heart
from excise.desk.work.ladder import Setting, Way
from excise.desk.work.probes import askable
from excise.desk.work.releasing import publish_release, record_health
from excise.desk.work.sealed import keep_probes, shred_released, told_by_base, unlocked_data
from excise.desk.work.settings import ModelSettings, model_settings
from excise.desk.work.together import together
from excise.erasure.signing import signing_key
from excise.evaluate.attacks.run import plan as attacks
from excise.evaluate.gate import Gate
from excise.methods.registry import make
from excise.records.errors import InputError
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
        if make(given.method, given.options).leaves != ("adapter",):
            raise InputError(f"model {self.model}: method: {given.method} leaves more than an "
                             "adapter, expected one whose runs can be added up")  # fmt: skip
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
        shred_released(self)
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
        """Forget, audit, release; whether that was the end of it.

        Batches of one model go one after another, since each is trained upon the one before.
        """
        with ExitStack() as unlocked, self.heart.holding(self.model):
            current = self.ledger.current(self.model)
            setting = self._setting(live, current)
            if setting is None:
                self._give_up(live)
                return False
            folders: dict[str, Path] = {}
            for request in live:
                folder = unlocked_data(self, request, unlocked)
                if folder is None:
                    self._fail(request, NOTHING)
                else:
                    folders[request.id] = folder
            if len(folders) < len(live):
                return False
            made = self._forget(live, setting, folders, built_of(self.ledger, current))
            for id in folders:
                self._at(id, "auditing")
            audited = audit_batch(self, folders, made)
            if not audited.verdict.passed:
                return False
            for id, folder in folders.items():
                keep_probes(self, id, folder, audited.built.run)
                self._at(id, "passed")
            publish_release(self, current, audited)
            return True

    def _forget(
        self,
        live: list[Request],
        setting: Setting,
        folders: Mapping[str, Path],
        current: Built | None,
    ) -> Built:
        """The batch's run at its setting, upon everything that was released before."""
        self.heart.require()
        below = None if current is None else current.without(folders, self.home / "below")
        upon = None if below is None else below.run
        place = self.home / folder_of(self.settings, setting, [*folders], upon)
        for request in live:
            if self.batch.done(f"forget-{len(self.audits())}") is None:
                self._at(request.id, "forgetting")
            if request.entered == "adapter" and self.batch.done("advice", request.id) is None:
                self.note("advice", {"advice": CLEANER}, request.id)
                self.worker.tell(f"{request.id}: {CLEANER}")
        if not (place / "run.json").is_file():
            self._train(place, setting, folders, below)
        run = own_scaled(Run.load(place), setting.strength)
        self.note(
            f"forget-{len(self.audits())}",
            {"run": run.id, "requests": [*folders], "strength": round(run.edit.strength, 4)},
        )
        self.worker.tell(f"{len(folders)} requests forgotten, as {run.id}")
        return built_upon(below, run, [*folders])

    def _train(
        self, place: Path, setting: Setting, folders: Mapping[str, Path], below: Built | None
    ) -> None:
        """Make the run, with a draw of the earlier requests, which are to stay forgotten."""
        earlier = [] if below is None else [id for id in below.requests if id not in folders]
        drawn = random.Random(f"replay-{place.name}").sample(
            sorted(earlier), min(self.settings.replay, len(earlier))
        )
        with ExitStack() as unlocked:
            asked = askable(self.ledger, drawn)
            again = [told_by_base(self, id, unlocked, "kept forgotten") for id in asked]
            parts = [*folders.values(), *(folder for folder in again if folder is not None)]
            training = Training(
                requests=tuple(folders),
                upon=None if below is None else below.run,
                source=self.source,
                vlm=self.vlm,
                data=together(
                    parts, self.others, parts[0] / f"all-{len(self.audits())}", self.gone
                ),
                settings=self.settings,
                options={**self.settings.options, **setting.options},
                out=place,
                alive=self.heart.require,
            )
            if self.settings.launch is not None:
                self._vlm = None  # the launched processes need its memory
            self.worker.make_run(training)

    def _setting(self, live: list[Request], current: Release | None) -> Setting | None:
        """What the audits of these very requests so far lead to; None at the ladder's end."""
        ids = {request.id for request in live}
        ways = [way_of(blame) for blame in self._blames(ids) if blame]
        reopened = current is not None and bool(ids & {*current.requests})
        return self.settings.ladder.setting(ways, anew=reopened)

    def _blames(self, ids: set[str]) -> list[dict[str, Way]]:
        """Of each audit of just these requests, who was to blame."""
        return [step.result["blame"] for step in self.audits() if {*step.result["people"]} == ids]

    def _give_up(self, live: list[Request]) -> None:
        """The ladder is at its end for these: who is to blame fails, the others begin anew."""
        blame = self._blames({request.id for request in live})[-1]
        out = given_up(blame)
        for request in live:
            if request.id in out:
                self._fail(request, RETRAIN)

    # the ledger

    def requests(self) -> list[Request]:
        """Those of the batch, as they are now."""
        self.batch = self.ledger.batch(self.batch.id)
        return list(self.batch.requests)

    def _live(self) -> list[Request]:
        self.heart.require()
        return [r for r in self.requests() if r.part(self.model).state in LIVE]

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
