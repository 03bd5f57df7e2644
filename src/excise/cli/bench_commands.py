"""`excise bench`: methods x forget ratios x seeds, and the table, the page and the JSON of it.

Exit code 1: some of the cells could not be made; the table says why.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from excise.cli.loading import arguments, loads

NOT_ALL = 1


@loads
def bench(
    how: dict[str, Any],
    methods: Annotated[str, typer.Option(help="Names with commas between, or all.")],
    out: Annotated[Path, typer.Option(help="The bench folder; what is finished there stays.")],
    model: Annotated[str | None, typer.Option(help="A checkpoint folder or a hub id.")] = None,
    data: Annotated[Path | None, typer.Option(help="The data folder.")] = None,
    specimen: Annotated[
        bool, typer.Option("--specimen", help="The embedded model and its people instead.")
    ] = False,
    ratios: Annotated[
        str | None,
        typer.Option(help="Percent to forget, such as 5,10,15, drawn by seed; else as given."),
    ] = None,
    seeds: Annotated[str, typer.Option(help="How many, or which: 3, or 0,4,7.")] = "3",
    option: Annotated[
        list[str] | None,
        typer.Option(
            "-o", "--option", help="key=value for every method that has it, or METHOD.key=value."
        ),
    ] = None,
    grid: Annotated[
        str | None, typer.Option(help="What is tried: a YAML or JSON file, default or specimen.")
    ] = None,
    budget: Annotated[
        str, typer.Option(help="Trials a method, or TRIALSxSTEPS; 1 is no search.")
    ] = "4",
    search: Annotated[
        str, typer.Option(help="Choose settings in each cell, or in the first seed's for all.")
    ] = "each",
    limit: Annotated[
        int, typer.Option(help="Records scored of each split and kind; 0 for all.")
    ] = 240,
    reference: Annotated[
        list[str] | None,
        typer.Option(help="A model that never saw the forgotten; or RATIO/SEED=MODEL."),
    ] = None,
    cleartext: Annotated[
        bool, typer.Option("--cleartext", help="Keep and show sample answers and pictures.")
    ] = False,
    jobs: Annotated[int, typer.Option(help="Processes at a time; 0 for none of its own.")] = 1,
    ray: Annotated[
        str | None, typer.Option(help="local, or a Ray cluster's address (extra: bench).")
    ] = None,
    finished: Annotated[
        bool, typer.Option("--finished", help="Run nothing; draw the table of what is there.")
    ] = False,
) -> None:
    """Compare methods on ratios and seeds in one table."""
    import excise
    from excise.cli.options import pairs
    from excise.report.bench_page import render

    table = excise.bench.run(
        model,
        data,
        methods=methods.split(","),
        out=out,
        specimen=specimen,
        ratios=None if ratios is None else _numbers("--ratios", ratios),
        seeds=_seeds(seeds),
        options=pairs(option or []),
        grid=grid,
        budget=budget,
        search=search,
        limit=limit,
        reference=reference or (),
        cleartext=cleartext,
        jobs=jobs,
        ray=ray,
        finished=finished,
        loading=arguments(how),
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    page = render(table, out, out / "bench.html")
    for block in table["tables"]:
        _show(block)
    print(f"table: {out / 'bench.md'}")
    print(f"page:  {page}")
    missing = [cell for block in table["tables"] for cell in block["failed"]]
    for cell in missing:
        print(f"excise: not made: {cell['label']}: {cell['why']}", file=sys.stderr)
    if missing:
        raise typer.Exit(NOT_ALL)


COLUMNS = (
    ("forgotten ↓", "point", "forgotten"),
    ("retained ↑", "point", "memory"),
    ("understanding ↑", "point", "understanding"),
    ("true answer ↓", "figures", "forget_probability"),
    ("refuses unseen ↓", "figures", "over_refusal"),
)


def _show(block: Mapping[str, Any]) -> None:
    from excise.cli.tables import show

    rows = [
        [
            row["label"],
            *(_mean(row[part][key]) for _, part, key in COLUMNS),
            "-" if row["seconds"] is None else f"{row['seconds']['mean']:.0f}",
            "; ".join(row["warnings"]),
        ]
        for row in block["rows"]
    ]
    print(f"{block['title']}: ROUGE-L, and the true answer's probability")
    show(["", *(name for name, *_ in COLUMNS), "seconds", "warnings"], rows)


def _mean(figure: Mapping[str, Any] | None) -> str:
    return "-" if figure is None else f"{figure['mean']:.3f}"


def _seeds(text: str) -> int | Sequence[int]:
    found = _numbers("--seeds", text)
    return found[0] if "," not in text else found


def _numbers(option: str, text: str) -> list[int]:
    from excise.records.errors import InputError

    try:
        found = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        found = []
    if not found:
        raise InputError(f"{option} {text}: expected whole numbers, such as 5,10,15")
    return found
