"""`excise read`: a public benchmark, in its published columns, made into a data folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def read(
    source: Annotated[
        str, typer.Argument(help="A downloaded folder or file, or an id on the hub.")
    ],
    format_: Annotated[
        str,
        typer.Option("--format", help="mllmu-bench, clear, fiubench, umu-bench or unlok-vqa."),
    ],
    out: Annotated[Path, typer.Option(help="The data folder to make.")],
    forget: Annotated[
        str | None,
        typer.Option(
            help="Percent of the people, as published (5 if not given); unlok-vqa: an entry's id."
        ),
    ] = None,
    few: Annotated[
        int | None,
        typer.Option(
            help="Retained people a method may see; as many as are forgotten if not given."
        ),
    ] = None,
    unseen: Annotated[
        int, typer.Option(help="Retained people who count as strangers: not tuned on.")
    ] = 0,
    retain: Annotated[
        int | None, typer.Option(help="Keep at most so many of the other retained people.")
    ] = None,
    test: Annotated[
        bool, typer.Option("--test", help="Score the forgotten on MLLMU-Bench's test pictures.")
    ] = False,
    images: Annotated[
        Path | None, typer.Option(help="Where pictures lie that the benchmark only names.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws the few, the strangers and the retained.")] = 0,
) -> None:
    """Turn a public benchmark into a data folder.

    The folder is used like any other: excise evaluate, forget, bench, audit.
    """
    from excise.cli.tables import show
    from excise.records.formats import convert

    made = convert(
        format_,
        source,
        out,
        forget=forget,
        few=few,
        unseen=unseen,
        retain=retain,
        test=test,
        images=images,
        seed=seed,
    )
    rows = [
        [split, kind.replace("_", " "), str(fits), str(scores)]
        for (split, kind), (fits, scores) in sorted(made.counts().items())
    ]
    show(["split", "kind", "to learn from", "scored"], rows, numbers_from=2)
    for note in made.notes:
        print(f"note: {note}")
    print(f"data: {out}")
