"""Training under `accelerate launch`."""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.desk.specimen_desk import SpecimenDesk

from excise.desk.work.forgetting import Training, launch_command, train
from excise.desk.work.settings import ModelSettings
from excise.records.errors import ExciseError
from excise.weights.run import Run

CONFIG = """compute_environment: LOCAL_MACHINE
distributed_type: 'NO'
num_machines: 1
num_processes: 1
use_cpu: true
mixed_precision: 'no'
"""


def training(desk: SpecimenDesk, out: Path, **options: str) -> Training:
    config = desk.folder / "accelerate.yaml"
    config.write_text(CONFIG)
    settings = ModelSettings(
        launch=config, loading={"dtype": "float32", "parts": {"vision_tower": "model.eye"}}
    )
    return Training(
        requests=("r-1",),
        upon=None,
        source=desk.ledger.model("m").source,
        vlm=lambda: pytest.fail("the launched processes load it themselves"),
        data=desk.people[desk.names[0]],
        settings=settings,
        options=options,
        out=out,
        alive=lambda: None,
    )


def test_the_command_says_everything_that_the_settings_say(
    new_desk: Callable[..., SpecimenDesk], tmp_path: Path
) -> None:
    desk = new_desk(tmp_path)
    command = launch_command(training(desk, tmp_path / "run", steps="2", push="1"))
    line = " ".join(command[1:])
    assert line.startswith(
        f"-m accelerate.commands.launch --config_file {tmp_path}/accelerate.yaml -m excise forget"
    )
    assert "--dtype float32 --part vision_tower=model.eye" in line
    assert line.endswith("-o steps=2 -o push=1")
    assert f"--out {tmp_path / 'run'}" in line


@pytest.mark.slow
def test_a_launched_training_makes_the_run(
    new_desk: Callable[..., SpecimenDesk], tmp_path: Path
) -> None:
    desk = new_desk(tmp_path)
    out = tmp_path / "runs" / "run-1"
    wanted = training(desk, out, steps="1", batch="3", views="0", anchor_names="1", strength="1")
    wanted = Training(
        **{**wanted.__dict__, "settings": ModelSettings(launch=wanted.settings.launch)}
    )
    train(wanted)
    assert Run.load(out).info["method"] == "anchored"
    train(wanted)  # it is there already
    wrong = Training(**{**wanted.__dict__, "options": {"stepz": "1"}, "out": tmp_path / "other"})
    with pytest.raises(ExciseError, match="accelerate launch: .*stepz"):
        train(wrong)


def test_a_launch_that_outlived_its_worker_is_waited_for(
    new_desk: Callable[..., SpecimenDesk], tmp_path: Path
) -> None:
    desk = new_desk(tmp_path)
    wanted = training(desk, tmp_path / "runs" / "run-1")
    wanted.out.mkdir(parents=True)
    lock = wanted.out.with_name(".run-1.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)  # as the orphan holds it
    worker = threading.Thread(target=train, args=(wanted,))
    worker.start()
    time.sleep(0.3)
    assert worker.is_alive()
    (wanted.out / "run.json").write_text("{}")  # and now it is done
    lock.close()
    worker.join(10)
    assert not worker.is_alive(), "what it made is taken"
