"""What goes wrong on the way: one line, the batch given back, nothing lost, the others served."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.desk.specimen_desk import SpecimenDesk

from excise.desk.work.forgetting import Training
from excise.records.errors import ExciseError, InputError


def refused(training: Training) -> None:
    raise AssertionError("found out before any training")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"others": "nowhere/at/all"}, "nowhere/at/all: no such file or folder"),
        ({"gate": "nowhere.yaml"}, "nowhere.yaml: no such file"),
        ({"only": ["plainly"]}, 'unknown attack "plainly"'),
        ({"kind": "gguf"}, "model m: kind: "),
    ],
)
def test_wrong_settings_are_found_before_any_training(
    settings: dict[str, Any],
    line: str,
    new_desk: Callable[..., SpecimenDesk],
    tmp_path: Path,
) -> None:
    desk = new_desk(tmp_path, **settings)
    id = desk.submit(0)
    with pytest.raises(InputError, match=line):
        desk.worker(make_run=refused).run(once=True)
    assert desk.state(id) == "queued"
    assert desk.ledger.verify() is None


def test_a_gate_with_an_unknown_figure_is_found_before_any_training(
    new_desk: Callable[..., SpecimenDesk], tmp_path: Path
) -> None:
    gate = tmp_path / "odd.yaml"
    gate.write_text("leak.plane: {at_most: 0.1}\n")
    desk = new_desk(tmp_path, gate=str(gate))
    desk.submit(0)
    with pytest.raises(InputError, match=r'unknown figure "leak.plane"'):
        desk.worker(make_run=refused).run(once=True)


def test_a_missing_signing_key_is_found_before_any_training(
    new_desk: Callable[..., SpecimenDesk], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = new_desk(tmp_path)
    desk.submit(0)
    monkeypatch.setenv("EXCISE_KEY", str(tmp_path / "nothing.pem"))
    with pytest.raises(InputError, match=r"nothing.pem: "):
        desk.worker(make_run=refused).run(once=True)


def test_after_three_errors_the_requests_fail_and_the_next_batch_has_its_turn(
    new_desk: Callable[..., SpecimenDesk], tmp_path: Path
) -> None:
    desk = new_desk(tmp_path)
    broken = desk.submit(0)
    worker = desk.worker(make_run=unlucky, limit=1)
    for _ in range(2):
        with pytest.raises(ExciseError, match="no luck"):
            worker.run(once=True)
        assert desk.state(broken) == "forgetting"
    well = desk.submit(2)

    def lucky_later(training: Training) -> None:
        if broken in training.requests:
            unlucky(training)
        desk.trained(training)

    desk.worker(make_run=lucky_later, limit=1).run(once=True)
    assert (desk.state(broken), desk.state(well)) == ("failed", "released")
    said = [e.content for e in desk.ledger.entries(broken) if "reason" in e.content]
    assert said[-1]["reason"] == "given up after 3 errors: no luck"
    desk.ledger.move(broken, "queued", actor="ada", reason="mended")
    assert desk.state(broken) == "queued"
    assert desk.ledger.verify() is None


def unlucky(training: Training) -> None:
    raise ExciseError("no luck")


def test_a_full_disk_while_exporting_gives_the_batch_back(
    new_desk: Callable[..., SpecimenDesk], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = new_desk(tmp_path)
    id = desk.submit(2)
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1))
        with pytest.raises(InputError, match="of disk"):
            desk.worker().run(once=True)
    assert desk.state(id) == "passed"
    assert desk.ledger.current("m") is None
    assert not any(desk.ledger.settings.releases.iterdir()), "nothing half-made"
    trainings = len(desk.trained.calls)
    assert desk.worker().run(once=True) == 1
    assert desk.state(id) == "released"
    assert len(desk.trained.calls) == trainings, "not trained again"
    assert desk.ledger.verify() is None


def test_errors_about_records_name_nobody(
    new_desk: Callable[..., SpecimenDesk], tmp_path: Path
) -> None:
    """Whatever an error of the method says of a record, its id is a number."""
    desk = new_desk(tmp_path)
    desk.submit(0)

    def strict(training: Training) -> None:
        record = training.data.select(splits=["forget"])[0]
        raise InputError(f'{training.data.folder}: record "{record.id}", {record.image}: is wrong')

    with pytest.raises(
        InputError, match=r'record "request-000/\d+", request-000/\d+.png: is wrong'
    ):
        desk.worker(make_run=strict).run(once=True)


@pytest.mark.slow
def test_a_run_that_was_changed_is_not_built_upon(
    new_desk: Callable[..., SpecimenDesk], tmp_path: Path
) -> None:
    desk = new_desk(tmp_path)
    desk.submit(2)
    desk.worker().run(once=True)
    release = desk.ledger.current("m")
    assert release is not None
    run = desk.ledger.settings.folder / release.folder / "run"
    weights = next(run.rglob("adapter_model.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    desk.submit(1)
    with pytest.raises(InputError, match="was changed since v-"):
        desk.worker().run(once=True)
