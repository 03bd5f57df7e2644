"""Conduct a bench: check everything, run what is not finished, and write the table.

All that the user can have got wrong is found before anything is trained: names, options and values,
records that a method needs, a reference of another architecture, a folder of another bench. The
model itself is loaded by the workers only, so a finished bench is drawn again in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from excise.bench import asked
from excise.bench.document import document
from excise.bench.folder import claim
from excise.bench.grid import SHIPPED, Grid, Trial, lengths
from excise.bench.job import Job
from excise.bench.markdown import markdown
from excise.bench.options import Budget, known_methods, options_of
from excise.bench.progress import Progress, Say
from excise.bench.scoring import Scoring
from excise.bench.source import Draw
from excise.records.errors import InputError
from excise.records.writing import write_json, write_text
from excise.vlm.weights_hash import hash_weights, weight_files

SEARCHES = ("each", "first")


def run(
    model: str | Path | None = None,
    data: str | Path | None = None,
    *,
    methods: Sequence[str],
    out: str | Path,
    specimen: bool = False,
    ratios: Sequence[int] | None = None,
    seeds: int | Sequence[int] = 3,
    options: Mapping[str, Any] | None = None,
    grid: str | Path | None = None,
    budget: int | str = 4,
    search: str = "each",
    limit: int = 240,
    reference: str | Sequence[str] = (),
    cleartext: bool = False,
    jobs: int = 1,
    ray: str | None = None,
    finished: bool = False,
    loading: Mapping[str, Any] | None = None,
    say: Say | None = None,
) -> dict[str, Any]:
    """Run the bench in `out` and return its table (schema excise.bench/1).

    `out` gets bench.json and bench.md; `report.bench_page.render` makes the page. What is finished
    there is not run again.

    Args:
        model, data: as `excise.load` and `excise.read` take them; neither with `specimen`.
        methods: names, or "all".
        ratios: percent of the known people to forget, drawn by each seed; None is the folder's own
            split (on the specimen 5).
        seeds: how many from 0 on, or which.
        options: settings for all methods that have them (`steps`), or for one (`smfa.k`).
        grid: a file, or the name of a shipped one.
        budget: trials a method, `4`, or with their steps, `4x150`. One trial: no search.
        search: "each" chooses the settings in every cell; "first" in the first seed's, for all.
        limit: records scored of each split and kind (0: all).
        reference: a checkpoint that never saw the forgotten people of the folder's own split, or
            `RATIO/SEED=CHECKPOINT`; the specimen brings that of 5 % and seed 0.
        cleartext: keep and show sample answers (the specimen's are shown always).
        jobs: processes at a time; 0 for none of its own (peak memory is then not the method's).
        ray: "local", or the address of a Ray cluster.
        finished: run nothing, draw the table of what is there.
        loading: further arguments of `excise.load`.
        say: is told a line now and then.

    Raises:
        InputError: anything that is wrong with these, before any training starts; or the model
            cannot be loaded.
    """
    tell = say or (lambda text: None)
    out = Path(out)
    names = known_methods([methods] if isinstance(methods, str) else methods)
    if search not in SEARCHES:
        raise InputError(f'search "{search}": expected one of {", ".join(SEARCHES)}')
    if limit < 0:
        raise InputError(f"limit {limit}: expected 0 or more")
    if (loading or {}).get("quantize"):
        raise InputError("quantize: no run can be applied to 4-bit weights, which a bench does")
    chosen = grid if grid is not None else SHIPPED[1 if specimen else 0]
    settings = Grid.read(chosen)
    spent = Budget.parse(budget)
    given = options_of(names, options or {})
    if spent.steps is not None and any("steps" in own for own in given.values()):
        raise InputError(f"budget {budget}: the steps are given twice, expected -o steps or these")
    trials = {name: settings.trials(name, given[name], spent) for name in names}
    source = asked.source(model, data, specimen, out)
    numbers = asked.seeds(seeds)
    percents = asked.ratios(ratios, specimen)
    models = asked.references(reference, specimen, percents, numbers, source.model)
    weights = {name: hash_weights(weight_files(name)) for name in {source.model, *models.values()}}
    if jobs < 0:
        raise InputError(f"jobs {jobs}: expected a number of processes, 0 for none of its own")
    if finished and not (out / "plan.json").is_file():
        raise InputError(f"{out}: no bench there, expected a folder of one")

    whole = source.given()
    mark = "specimen" if whole is None else whole.fingerprint()
    workers = asked.workers(jobs, ray, finished)
    if whole is None:  # nothing can be wrong with its data, which are written into the folder
        claim(out, weights=weights[source.model], data=mark)
    scoring = Scoring(limit=limit, curve=min(limit or 80, 80))
    draws: dict[tuple[int | None, int], Draw] = {}
    seen: dict[tuple[Draw, str], tuple[dict[str, str], ...]] = {}
    for ratio in percents:
        for seed in numbers:
            drawn = source.read(ratio, seed, whole)
            asked.require_usable(drawn, names, scoring)
            draws[ratio, seed] = Draw(ratio, seed, drawn.fingerprint())
            for name in names:
                seen[draws[ratio, seed], name] = asked.seen(drawn, name, trials[name])
    claim(out, weights=weights[source.model], data=mark)

    base = Job(
        "original", source, draws[percents[0], numbers[0]], source.model, weights[source.model],
        scoring, cleartext or specimen, dict(loading or {}),
    )  # fmt: skip
    plain = [replace(base, draw=draw) for draw in draws.values()]
    for (ratio, number), place in models.items():
        plain += [
            replace(base, role="reference", draw=draw, model=place, weights=weights[place])
            for draw in draws.values()
            if draw.ratio == ratio and number in (None, draw.seed)
        ]
    first = numbers if search == "each" else numbers[:1]

    def cell(draw: Draw, name: str, tried: tuple[Trial, ...]) -> Job:
        sees = seen[draw, name]
        return replace(base, role="method", draw=draw, method=name, trials=tried, sees=sees)

    jobs_of = [
        cell(draws[ratio, seed], name, trials[name])
        for seed in first
        for ratio in percents
        for name in names
    ]
    total = len(plain) + len(numbers) * len(percents) * len(names)
    bench = Progress(total, workers, tell, run_nothing=finished)
    bench.do(plain, must=True)
    bench.do(jobs_of)
    followers = [
        cell(draws[ratio, seed], name, trial)
        for seed in numbers[len(first) :]
        for ratio in percents
        for name in names
        if (trial := _settled(bench.cells, name, ratio, numbers[0])) is not None
    ]
    bench.do(followers)

    table = document(
        [*plain, *jobs_of, *followers],
        bench.cells,
        bench.failed,
        names=names,
        ratios=percents,
        seeds=numbers,
        settings={
            "grid": settings.where if settings.where in SHIPPED else Path(settings.where).name,
            "budget": str(budget),
            "search": search,
            "options": dict(options or {}),
            "common": settings.common,
            "fits": lengths(trials),
            "limit": limit,
        },
        source=source,
        mark=mark,
        given=whole,
    )
    write_json(out / "bench.json", table)
    write_text(out / "bench.md", markdown(table))
    return table


def _settled(
    cells: Mapping[Job, Any], name: str, ratio: int | None, seed: int
) -> tuple[Trial, ...] | None:
    """What the first seed chose for a method; None if its cell was not made."""
    for job, cell in cells.items():
        if (job.method, job.draw.ratio, job.draw.seed) == (name, ratio, seed):
            return (job.trials[cell["chosen"]],)
    return None
