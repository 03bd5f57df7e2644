"""One worker as a process of its own, with a stub of the training step only.

    python driver.py URL FOLDER NAME READY [LIMIT]

READY is a finished run; each batch gets a copy that names its own data, so that no two are alike.
It works until nothing is queued, and may be killed at any moment.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

from excise.desk.ledger import Ledger, NotAllowed
from excise.desk.work import Worker
from excise.desk.work.forgetting import Training
from excise.weights.edit import EditSpec
from excise.weights.stack import upon

LEASE = 2.0


def copied(training: Training, ready: Path) -> None:
    """The stub: a finished run that names this batch's data."""
    part = training.out.with_name(f".{training.out.name}.unfinished")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(ready, part)
    info = json.loads((part / "run.json").read_text())
    info["data"]["fingerprint"] = training.data.fingerprint()
    (part / "run.json").write_text(json.dumps(info))
    if training.upon is not None:
        own = EditSpec.read(part / "edit.json")
        upon(training.upon, part, own).write(part / "edit.json")
    os.replace(part, training.out)


def main(url: str, folder: Path, name: str, ready: Path, limit: int = 8) -> None:
    def make_run(training: Training) -> None:
        copied(training, ready)
        with (folder / "trained.txt").open("a") as file:
            file.write("".join(f"{id}\n" for id in training.requests))

    with Ledger.open(url, folder=folder / "files", key_file=folder / "desk.key") as ledger:
        worker = Worker(ledger, name=name, limit=limit, lease_seconds=LEASE, make_run=make_run)
        (folder / f"up-{name}").touch()
        while True:
            try:
                worker.run(once=True)
            except NotAllowed:  # SQLite: a killed worker's lease has to lapse
                time.sleep(LEASE / 4)
                continue
            if not ledger.batches():
                return
            time.sleep(LEASE / 4)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]), *map(int, sys.argv[5:]))
