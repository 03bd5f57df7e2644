"""One batch's run: an adapter for its requests, trained with all earlier ones on the model.

In this process, or under `accelerate launch` where the model's settings name a configuration. The
folder of a run is named by what it was trained with, so one that is there already is not made
again, and one that was interrupted goes on where it was. A worker that is killed may leave a launch
behind that still trains: it holds a lock, and the next worker waits for what comes of it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from excise.desk.work.ladder import Setting
from excise.desk.work.settings import ModelSettings
from excise.methods.forget import forget
from excise.methods.registry import make
from excise.records.data import Data
from excise.records.errors import ExciseError
from excise.vlm.load import VLM
from excise.weights.run import Run

POLL = 0.5


@dataclass(frozen=True)
class Training:
    """One run to make: the forget set of `data` off the base, into the folder `out`."""

    requests: tuple[str, ...]
    """Whom the new adapter is for; `data` has earlier requests' records too, as what the base tells
    of them, so that they stay forgotten."""
    upon: Run | None
    """The run with the adapters of all earlier batches."""

    source: str
    """The base: a folder or a hub id."""
    vlm: Callable[[], VLM]
    """The base, loaded when it is asked for."""
    data: Data
    settings: ModelSettings
    options: Mapping[str, str]
    out: Path
    alive: Callable[[], None]
    """To be called now and then; raises LeaseLost when the work is another worker's by now."""


Train = Callable[[Training], None]
"""Makes the run; the one step of the work that can be replaced, by a cluster's own."""


def train(training: Training) -> None:
    """Make the run of a batch."""
    if training.settings.launch is not None:
        _launched(training)
        return
    forget(
        training.vlm(),
        training.data,
        method=make(training.settings.method, dict(training.options)),
        out=training.out,
        seed=training.settings.seed,
        upon=training.upon,
        progress=lambda stage, done, total: training.alive(),
    )


def folder_of(
    settings: ModelSettings, setting: Setting, requests: Sequence[str], upon: Run | None
) -> str:
    """The name of a run's folder: a hash of everything that its training is told."""
    told = [
        *(settings.method, {**settings.options, **setting.options}, settings.seed),
        *(sorted(requests), None if upon is None else upon.id),
    ]
    return f"run-{hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:8]}"


def launch_command(training: Training) -> list[str]:
    """`accelerate launch --config_file C -m excise forget ...`; an option of `excise.load` that the
    command line does not have is an InputError of its own."""
    command = [
        *(sys.executable, "-m", "accelerate.commands.launch"),
        *("--config_file", str(training.settings.launch), "-m", "excise", "forget"),
        *("--model", training.source, "--data", str(training.data.folder)),
        *("--method", training.settings.method, "--seed", str(training.settings.seed)),
        *("--out", str(training.out)),
    ]
    for key, value in training.settings.loading.items():
        if key == "parts":
            for name, module in value.items():
                command += ["--part", f"{name}={module}"]
        else:
            text = json.dumps(value) if isinstance(value, Mapping) else str(value)
            command += [f"--{key.replace('_', '-')}", text]
    if training.upon is not None:
        command += ["--upon", str(training.upon.folder)]
    for key, value in training.options.items():
        command += ["-o", f"{key}={value}"]
    return command


def _launched(training: Training) -> None:
    training.out.parent.mkdir(parents=True, exist_ok=True)
    with _alone(training) as lock, tempfile.TemporaryFile("w+") as said:
        if (training.out / "run.json").is_file():  # of a launch that outlived its worker
            return
        process = subprocess.Popen(
            launch_command(training),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            pass_fds=[lock.fileno()],
        )
        try:
            while process.poll() is None:
                training.alive()
                time.sleep(POLL)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        if process.returncode != 0:
            said.seek(0)
            # excise's own line; whatever else the processes print stays here
            sign = "excise: error: "
            lines = [line.strip() for line in said if line.startswith(sign)]
            found = lines[-1].removeprefix(sign) if lines else f"ended with {process.returncode}"
            raise ExciseError(f"accelerate launch: {found}")


@contextmanager
def _alone(training: Training) -> Iterator[IO[str]]:
    """A lock that the launched processes hold with us, for as long as one of them lives."""
    with training.out.with_name(f".{training.out.name}.lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                training.alive()
                time.sleep(POLL)
        os.set_inheritable(lock.fileno(), True)
        yield lock
