"""bench.json: the table with everything that the page and the Markdown are drawn from."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from excise.bench.columns import COLUMNS
from excise.bench.job import Job
from excise.bench.samples import samples
from excise.bench.source import Source
from excise.bench.table import row
from excise.methods.method import METHODS
from excise.records.data import Data

SCHEMA = "excise.bench/1"
LABELS = {"original": "original", "reference": "reference"}


def document(
    jobs: Sequence[Job],
    cells: Mapping[Job, Any],
    failed: Mapping[Job, str],
    *,
    names: Sequence[str],
    ratios: Sequence[int | None],
    seeds: Sequence[int],
    settings: Mapping[str, Any],
    source: Source,
    mark: str,
    given: Data | None,
) -> dict[str, Any]:
    """The document of the jobs asked for; those that are not finished are missing from it."""
    clear = jobs[0].clear
    tables = [
        _table([job for job in jobs if job.draw.ratio == ratio], cells, failed, names, seeds)
        for ratio in ratios
    ]
    pictured = []
    here = {
        job.method or job.role: cells[job]
        for job in jobs
        if job in cells and (job.draw.ratio, job.draw.seed) == (ratios[0], seeds[0])
    }
    if clear and here:
        data = source.read(ratios[0], seeds[0], given)
        pictured = samples(data, here, jobs[0].scoring, source.bench)
    some: Mapping[str, Any] = next(iter(cells.values()), {})
    model = source.model_name
    return {
        "schema": SCHEMA,
        "title": _title(names, ratios, seeds),
        "about": _about(model, mark, settings),
        "intervals": "Means over all answers of all seeds; in brackets 95 % intervals, bootstrap "
        "clustered by person and pooled over seeds.",
        "created": time.strftime("%Y-%m-%d"),
        "clear": clear,
        "model": {"id": model, "weights_hash": jobs[0].weights},
        "data": mark,
        "methods": [
            {"name": name, **{k: getattr(METHODS[name], k) for k in ("kind", "needs", "reference")}}
            for name in names
        ],
        "ratios": list(ratios),
        "seeds": list(seeds),
        "settings": dict(settings),
        "columns": [
            {k: v for k, v in asdict(column).items() if k in ("key", "group", "label", "better",
             "digits")}
            for column in COLUMNS
        ],
        "tables": tables,
        "samples": pictured,
        "versions": some.get("versions", {}),
        "machine": some.get("machine", {}),
    }  # fmt: skip


def _table(
    jobs: Sequence[Job],
    cells: Mapping[Job, Any],
    failed: Mapping[Job, str],
    names: Sequence[str],
    seeds: Sequence[int],
) -> dict[str, Any]:
    """The rows of one ratio: the original, a reference, then the methods, best balance first."""

    def of(key: str) -> dict[int, Any]:
        found = {j.draw.seed: cells[j] for j in jobs if (j.method or j.role) == key and j in cells}
        return {seed: found[seed] for seed in seeds if seed in found}

    originals = of("original")
    made = {
        key: {s: c for s, c in of(key).items() if s in originals}
        for key in ("original", "reference", *names)
    }
    rows = [row(k, LABELS.get(k, k), found, originals) for k, found in made.items() if found]
    rows.sort(key=lambda r: (0, 0) if r["key"] in LABELS else (1, -r["balance"]))
    ratio = jobs[0].draw.ratio
    return {
        "ratio": ratio,
        "title": "The folder's own split" if ratio is None else f"{ratio} % forgotten",
        "rows": rows,
        "failed": [
            {"label": job.label, "why": why} for job, why in failed.items() if job in set(jobs)
        ],
    }


def _title(names: Sequence[str], ratios: Sequence[int | None], seeds: Sequence[int]) -> str:
    def counted(count: int, what: str) -> str:
        return f"{count} {what}{'' if count == 1 else 's'}"

    parts = [counted(len(names), "method"), counted(len(seeds), "seed")]
    if ratios != [None]:
        parts.insert(1, counted(len(ratios), "forget ratio"))
    return ", ".join(parts)


def _about(model: str, mark: str, settings: Mapping[str, Any]) -> str:
    budget, grid = settings["budget"], settings["grid"]
    data = "the specimen" if mark == "specimen" else f"data {mark[:12]}"
    trials = budget.partition("x")[0]
    if trials == "1":
        how = f"Settings: the first of grid {grid}, no search."
    else:
        how = (
            f"Settings: the best of at most {trials} trials of grid {grid} for each method, on a "
            "held-out part of what a method may see"
        )
        how += "." if settings["search"] == "each" else "; chosen on the first seed for all seeds."
    return f"Model {model}, {data}. {how} {settings['fits']}".rstrip()
