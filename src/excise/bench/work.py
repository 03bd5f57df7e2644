"""The work of one cell: choose the settings, forget, score. It needs nothing but its job.

Whatever is finished is not done again after an interruption: trials are noted one by one, and a run
goes on from its last checkpoint (`methods/forget.py`).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from excise.bench.curve import curve
from excise.bench.failure import why
from excise.bench.grid import Trial
from excise.bench.job import SCHEMA, Job
from excise.bench.scoring import score, scored_records, shown
from excise.bench.trying import Trying, balance
from excise.methods.forget import forget, machine, peak_memory_mib, versions
from excise.methods.method import Method
from excise.methods.registry import make
from excise.records.data import Data
from excise.records.errors import ExciseError
from excise.records.writing import write_json
from excise.vlm.load import VLM, load
from excise.weights.json_file import read_object
from excise.weights.run import Run, combine

SEARCHED = ("chosen", "options", "trials", "held_out")


def work(job: Job) -> None:
    """Make the cell and write it to `job.file`.

    Raises:
        InputError: the model, the data or the method would not have it.
    """
    started = time.monotonic()
    data = job.source.read(job.draw.ratio, job.draw.seed)
    vlm = load(job.model, **job.loading)
    records = scored_records(data, job.scoring.limit, job.scoring.seed)
    cell: dict[str, Any] = {
        "schema": SCHEMA, "key": job.key, "what": job.what, "label": job.label, "clear": job.clear,
    }  # fmt: skip
    if job.role == "method":
        earlier = read_object(job.file) if job.file.is_file() else None  # without clear text
        cell |= {k: earlier[k] for k in SEARCHED} if earlier else _search(job, vlm, data)
        run, made = _run(job, vlm, data, job.trials[cell["chosen"]])
        cell |= made
        with run.applied(vlm):
            each, answers = score(vlm, data, records)
        cell["curve"] = curve(vlm, data, run, job.scoring)
    else:
        each, answers = score(vlm, data, records)
    if job.clear:
        said = shown(records, job.scoring.seed)
        cell["samples"] = {record.id: answers[record.id] for record in said}
    cell |= {
        "each": each,
        "seconds": round(time.monotonic() - started, 1),
        "versions": versions(),
        "machine": machine(vlm),
    }
    write_json(job.file, cell)
    shutil.rmtree(_trials(job), ignore_errors=True)


def _search(job: Job, vlm: VLM, data: Data) -> dict[str, Any]:
    """The settings that do best on what is held out, and how each of the others did."""
    if len(job.trials) == 1:
        only = job.trials[0]
        return {"chosen": 0, "options": only.options, "trials": [], "held_out": None}
    trying = Trying.of(data, job.draw.seed)
    before: dict[str, float | None] | None = None
    tried = []
    for number, trial in enumerate(job.trials):
        noted = _trials(job) / f"{number}.json"
        if not noted.is_file():
            before = before or trying.examine(vlm)
            write_json(noted, _try(job, vlm, trying, trial, before, noted.with_suffix("")))
        tried.append(read_object(noted))
    scores = [t["score"] if isinstance(t["score"], float) else -1.0 for t in tried]
    best = scores.index(max(scores))
    if scores[best] < 0:
        raise ExciseError(f"every trial failed, the first: {tried[0]['failed']}")
    return {
        "chosen": best,
        "options": job.trials[best].options,
        "trials": tried,
        "held_out": {
            "records": {part: len(records) for part, records in trying.held.items()},
            "trained": trying.trained,
        },
    }


def _try(
    job: Job, vlm: VLM, trying: Trying, trial: Trial, before: Mapping[str, float | None], out: Path
) -> dict[str, Any]:
    """One trial: a run on what was not held out, scored on what was; the run is not kept."""
    started = time.monotonic()
    told: dict[str, Any] = {"options": trial.options, "score": None}
    try:
        method = _method(job, trial)
        run = forget(vlm, trying.data, method=method, out=out, seed=job.draw.seed)
        with run.applied(vlm):
            after = trying.examine(vlm)
        told |= {"score": balance(dict(before), after), "before": dict(before), "after": after}
        told["steps"] = _steps(run)
    except Exception as error:  # a rate that is too high is a result, not the end of a bench
        told["failed"] = why(error)
    shutil.rmtree(out, ignore_errors=True)
    return told | {"seconds": round(time.monotonic() - started, 1)}


def _run(job: Job, vlm: VLM, data: Data, trial: Trial) -> tuple[Run, dict[str, Any]]:
    """The cell's run, and what making it took."""
    on_gpu = vlm.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    out = job.source.bench / "runs" / job.name
    there = out.is_dir()  # then its memory is in run.json, and that of a GPU is not known any more
    run = forget(vlm, data, method=_method(job, trial), out=out, seed=job.draw.seed)
    gpu = torch.cuda.max_memory_allocated() if on_gpu and not there else None
    return run, {
        "run": f"runs/{job.name}",
        "warnings": run.info["checkup"]["warnings"],
        "forgetting_seconds": run.info["times"]["total"],
        "steps": _steps(run),
        "share_touched": combine(run, vlm)["share_touched"],
        "peak_memory_mib": run.info.get("peak_memory_mib", peak_memory_mib()),
        "peak_gpu_mib": None if gpu is None else round(gpu / 2**20),
    }


def _method(job: Job, trial: Trial) -> Method:
    return make(job.method, trial.given)


def _steps(run: Run) -> int:
    """Optimiser steps of all its fits."""
    return sum(len(losses) for losses in run.info["losses"].values())


def _trials(job: Job) -> Path:
    return job.source.bench / "trials" / job.name
