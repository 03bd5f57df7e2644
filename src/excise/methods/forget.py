"""Forget: from a model, a data folder and a method to a finished run folder.

The run is made in a folder beside `out` and renamed at the end, so `out` holds a whole run or
nothing. An interrupted run goes on with the same call; a finished one with the same plan is loaded
and not made again. run.json holds settings, hashes and figures, and no question, answer or name.

Under a launcher all processes go through here together: they share the rows of each training batch
and the questions that are asked, and the main one writes (see `training/processes.py`).
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
import time
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

from excise.methods.checkup import Checkup, report
from excise.methods.material import forgotten_already, hold_out, retained, to_forget
from excise.methods.method import Material, Method, Progress
from excise.records.data import Data, require_forgettable
from excise.records.errors import InputError
from excise.records.writing import write_json
from excise.training.fit import clear_checkpoints
from excise.training.processes import together
from excise.training.world import ALONE, World
from excise.vlm.load import VLM
from excise.vlm.placement import quantised
from excise.vlm.sharing import sharing_obstacle
from excise.weights.json_file import read_object
from excise.weights.run import SCHEMA, Run
from excise.weights.stack import holds, require_plain


def _silent(stage: str, done: int, total: int) -> None:
    """Report to nobody."""


def forget(
    vlm: VLM,
    data: Data,
    *,
    method: Method,
    out: str | Path,
    seed: int = 0,
    upon: Run | None = None,
    progress: Progress | None = None,
) -> Run:
    """Make a run in `out` that takes the forget set off `vlm`; the model stays as it is.

    Args:
        upon: an earlier run of the same model. The new adapter is trained with it on the model, and
            the run that is made has both. The forget set is of all who are to be forgotten: those
            of whom the earlier run left nothing are held at that with fewer rows.
        progress: is told `(stage, done, total)` as the work goes on.

    Raises:
        InputError: nothing to forget, a record that does not fit the model, a run applied to the
            model already, `upon` is of another model or one of the two changes cannot be added to
            another, or `out` holds something else or cannot be written.
    """
    out = Path(os.path.abspath(out))  # "." and "x/.." have no name to put a folder beside
    if vlm.applied is not None:
        raise InputError(f"run {vlm.applied} is applied to the model; remove it before forgetting")
    require_forgettable(data)
    if upon is not None:
        _require_additive(upon, vlm, method)
    with together() as processes:
        return _forget(vlm, data, method, out, seed, upon, progress or _silent, processes)


def _forget(
    vlm: VLM,
    data: Data,
    method: Method,
    out: Path,
    seed: int,
    upon: Run | None,
    progress: Progress,
    processes: World,
) -> Run:
    plan = {
        "schema": SCHEMA,
        "method": method.name,
        "settings": method.model_dump(mode="json"),
        "base": {"id": vlm.name, "weights_hash": vlm.weights_hash},
        "data": {"fingerprint": data.fingerprint(), **method.sees(data)},
        "seed": seed,
        **({} if upon is None else {"upon": holds(upon)}),
    }
    if processes.from_main(lambda: out.exists() and (not out.is_dir() or any(out.iterdir()))):
        return _finished(out, plan)
    forgotten, few = to_forget(data), retained(data, method)
    unfinished = out.with_name(f".{out.name}.unfinished")
    processes.from_main(lambda: _begin(unfinished, plan))

    held: list[Any] = []
    if method.holds_out and quantised(vlm.model):
        raise InputError("k=auto tries runs on the model, which 4-bit weights cannot take: give k")
    if method.holds_out:
        forgotten, held_forget = hold_out(forgotten, seed)
        few, held_few = hold_out(few, seed)
        held = [*held_forget, *held_few]
    told = progress if processes.main else _silent
    material = Material(vlm, data, forgotten, few, held, unfinished, seed, told, upon=upon)
    started = time.monotonic()
    checkup = Checkup.of(data, forgotten, seed)
    before = checkup.examine(vlm, data)
    with nullcontext() if upon is None else upon.applied(vlm):
        if upon is not None:
            material.done = forgotten_already(vlm, data, forgotten)
            material.notes["upon"] = {"subjects_done": len(material.done)}
        edit = material.trial(method.run(material)).edit
    processes.from_main(lambda: edit.write(unfinished / "edit.json"))
    after: dict[str, float | None] = dict.fromkeys(before)
    if not quantised(vlm.model):
        with Run(unfinished, plan, edit).applied(vlm):
            after = checkup.examine(vlm, data)
    obstacle = sharing_obstacle(vlm.model, vlm.processor)
    info = {
        **plan,
        "checkup": report(before, after, material.warnings),
        "records": {"forget": len(forgotten), "few": len(few), "held_out": len(held)},
        "rows": "packed" if obstacle is None else f"one question each: {obstacle}",
        "targets": next(iter(material.fits.values())).targets if material.fits else [],
        "losses": {name: [round(x, 5) for x in f.losses] for name, f in material.fits.items()},
        "times": {
            **{name: round(fitted.seconds, 2) for name, fitted in material.fits.items()},
            "total": round(time.monotonic() - started, 2),
        },
        "peak_memory_mib": max(processes.gather(peak_memory_mib())),
        "notes": material.notes,
        "versions": versions(),
        "machine": machine(vlm, processes),
    }
    processes.from_main(lambda: _finish(unfinished, out, info))
    return Run.load(out)


def _require_additive(upon: Run, vlm: VLM, method: Method) -> None:
    """See that what the method makes can be added to the earlier run, before anything is trained.

    Raises:
        InputError: it cannot; or the model is another one, or in 4 bits.
    """
    require_plain(upon.edit, str(upon.folder))
    upon.require_hash(vlm.weights_hash, vlm.source)
    if quantised(vlm.model):
        raise InputError("upon: the earlier run cannot be put onto a model in 4 bits")
    if method.leaves != ("adapter",):
        raise InputError(f"upon: {method.name} leaves more than an adapter, which cannot be added")


def _finish(unfinished: Path, out: Path, info: dict[str, Any]) -> None:
    """Make the working folder the run."""
    write_json(unfinished / "run.json", info)
    clear_checkpoints(unfinished)
    (unfinished / "plan.json").unlink()
    if out.is_dir():
        out.rmdir()
    os.replace(unfinished, out)


def _finished(out: Path, plan: dict[str, Any]) -> Run:
    """The run in `out` if it is the one asked for."""
    if not (out / "run.json").is_file():
        raise InputError(f"{out}: not empty and not a run, expected a new folder")
    run = Run.load(out)
    for key in (*plan, "upon"):  # which a plan upon nothing does not have
        if run.info.get(key) != plan.get(key):
            raise InputError(f"{out}: holds a run with another {key}, expected a new folder")
    return run


def _begin(folder: Path, plan: dict[str, Any]) -> None:
    """Make the working folder, or take up the one that an interrupted run with this plan left."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "plan.json").is_file() and read_object(folder / "plan.json") != plan:
            shutil.rmtree(folder)  # another plan's remains: nothing of it can be used
            folder.mkdir()
    except OSError as error:
        raise InputError(f"{folder.parent}: cannot be written to ({error.strerror})") from None
    write_json(folder / "plan.json", plan)


def versions() -> dict[str, str]:
    """Versions of everything that the figures depend on."""
    packages = ("excise", "torch", "transformers", "peft", "accelerate", "safetensors", "numpy")
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def machine(vlm: VLM, processes: World = ALONE) -> dict[str, Any]:
    """What it ran on, without names."""
    import torch

    several = {"processes": processes.size, "sharded": processes.sharded}
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if vlm.device.type == "cuda" else vlm.device.type,
        **(several if processes.size > 1 else {}),
    }


def peak_memory_mib() -> int:
    """The process's largest resident size so far, in MiB (macOS counts in bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))
