"""What an interrupted fit leaves behind, and whether it belongs to the fit that is asked for.

`OUT/.checkpoints` holds the Trainer's checkpoints and `fit.json`, the identity of the fit. Only a
fit with the same identity resumes from them; any other starts anew. When a fit is done its
checkpoints go and `done.json` stays, so that a run of several fits skips those that are done;
`clear_checkpoints` removes that too when the run is complete.
"""

from __future__ import annotations

import json
import shutil
from itertools import chain
from pathlib import Path
from typing import Any

from excise.records.writing import write_json
from excise.training.settings import FitResult
from excise.weights.changes import KINDS

FOLDER = ".checkpoints"
IDENTITY = "fit.json"
DONE = "done.json"
STATE = "trainer_state.json"
"""The Trainer writes it last, so a checkpoint that has it is whole."""


def clear_checkpoints(folder: Path) -> None:
    """Remove what fits left for resuming, in the folder and everywhere below it."""
    for found in [*folder.rglob(FOLDER)]:
        shutil.rmtree(found, ignore_errors=True)


def begin(out: Path, identity: str) -> FitResult | None:
    """Prepare the folder of a fit; the result if the very same fit is done already.

    Raises:
        InputError, OSError: the folder cannot be written to.
    """
    folder = out / FOLDER
    if _read(folder / IDENTITY).get("identity") == identity:
        done = _read(folder / DONE)
        if done and any(all((out / name).is_file() for name in kind) for kind in KINDS):
            return FitResult.model_validate(done)
        return None
    shutil.rmtree(folder, ignore_errors=True)
    for name in chain(*KINDS):  # of another fit: must not be taken for this one's
        (out / name).unlink(missing_ok=True)
    write_json(folder / IDENTITY, {"identity": identity})
    return None


def latest(out: Path) -> Path | None:
    """The newest whole checkpoint, if there is one."""
    found = [
        path
        for path in (out / FOLDER).glob("checkpoint-*")
        if path.name.partition("-")[2].isdigit() and _read(path / STATE)
    ]
    return max(found, key=lambda path: int(path.name.partition("-")[2]), default=None)


def finish(out: Path, result: FitResult) -> None:
    """Mark the fit as done and drop its checkpoints."""
    folder = out / FOLDER
    write_json(folder / DONE, result.model_dump())
    for path in [*folder.iterdir()]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name not in (IDENTITY, DONE):
            path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
