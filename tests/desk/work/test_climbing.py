"""Up the ladder on the specimen, with a stub of the training step only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.desk.specimen_desk import SpecimenDesk, Trained

from excise.desk.release.build import scaled
from excise.desk.release.manifest import read_manifest
from excise.desk.work.batch import RETRAIN
from excise.desk.work.forgetting import Training
from excise.weights.run import Run


class Weak:
    """Runs in which one person's part does nothing; the other's is the real one."""

    def __init__(self, trained: Trained, weak: str) -> None:
        self.trained, self.weak = trained, weak

    def __call__(self, training: Training) -> None:
        self.trained(training)
        run = Run.load(training.out)
        owner = {r.id.partition("/")[0]: r.subject for r in training.data.select(splits=["forget"])}
        for number, branch in enumerate(run.edit.branches[: len(training.requests)]):
            if owner[f"request-{number:03d}"] == self.weak:
                run = scaled(run, {branch.adapter: 0.001})
        run.save()


@pytest.mark.slow
def test_who_leaks_climbs_and_fails_and_the_other_is_released(
    new_desk: Callable[..., SpecimenDesk], tmp_path: Path
) -> None:
    desk = new_desk(tmp_path, ladder={"firmer": [{"strength": 1.1}, {"options": {"steps": "9"}}]})
    weak, strong = desk.submit(0), desk.submit(2)
    desk.worker(make_run=Weak(desk.trained, desk.names[0])).run(once=True)
    assert (desk.state(weak), desk.state(strong)) == ("failed", "released")
    trainings = [call for call in desk.trained.calls if weak in call]
    assert len(trainings) == len({*trainings}) == 2, "first and with the options, not for the dial"
    assert len(desk.trained.calls) == 3
    request = desk.ledger.request(weak)
    assert request.part().attempts == 3
    assert request.part().figures["person.came_back"] > 5, "the figures are there to be read"
    said = [e.content for e in desk.ledger.entries(weak) if e.content.get("state") == "failed"]
    assert [entry["reason"] for entry in said] == [RETRAIN]
    assert "retrain advised" in RETRAIN
    release = desk.ledger.current("m")
    assert release is not None
    assert release.requests == (strong,)
    assert request.sealed["data"] == "sealed", "it may be queued again"
    assert desk.ledger.verify() is None


def test_a_request_that_is_withdrawn_half_way_is_left_out(
    new_desk: Callable[..., SpecimenDesk], tmp_path: Path
) -> None:
    desk = new_desk(tmp_path)
    gone, stays = desk.submit(0), desk.submit(1)

    def taken_back(training: Training) -> None:
        desk.trained(training)
        if desk.state(gone) != "withdrawn":
            desk.ledger.withdraw(gone, "taken back", actor="ada")

    desk.worker(make_run=taken_back).run(once=True)
    assert (desk.state(gone), desk.state(stays)) == ("withdrawn", "released")
    release = desk.ledger.current("m")
    assert release is not None
    assert release.requests == (stays,)
    assert "+" in desk.trained.calls[0]
    assert desk.trained.calls[1].startswith(f"{stays}/"), "trained anew without the one"
    manifest = read_manifest(desk.ledger.settings.folder / release.folder)
    adapters = [*(desk.ledger.settings.folder / release.folder / "run").glob("*/")]
    assert [path.name for path in adapters] == manifest["requests"][stays]["adapters"]
    assert desk.ledger.verify() is None


@pytest.mark.slow
def test_a_release_in_between_is_built_upon(
    new_desk: Callable[..., SpecimenDesk], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from excise.desk.ledger import Ledger, Stale

    desk = new_desk(tmp_path)
    id = desk.submit(0)
    real, tried = Ledger.release, []

    def late(ledger: Ledger, *arguments: object, **named: object) -> object:
        tried.append(1)
        if len(tried) == 1:
            raise Stale("m: another release came in between")
        return real(ledger, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Ledger, "release", late)
    desk.worker().run(once=True)
    assert desk.state(id) == "released"
    assert len(desk.trained.calls) == 1, "not trained again"
    assert len([*desk.ledger.settings.releases.iterdir()]) == 1
    assert desk.ledger.verify() is None
