"""`excise lmms`: general ability of a merged export by lmms-eval, put into the metrics JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def lmms(
    out: Annotated[
        Path, typer.Option(help="A metrics JSON: gets `general` added if there, else is made.")
    ],
    export: Annotated[Path | None, typer.Argument(help="A folder made with --as merged.")] = None,
    sets: Annotated[
        str, typer.Option(help="Some of pope,mme,gqa,mmbench,coco,refcoco, or tasks of lmms-eval.")
    ] = "pope,mme,gqa,mmbench,coco,refcoco",
    results: Annotated[
        Path | None,
        typer.Option(help="Run nothing; read this results file of lmms-eval, or folder of them."),
    ] = None,
    family: Annotated[
        str | None, typer.Option(help="lmms-eval's name for this kind of model, if not found.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Questions at a time.")] = 1,
    device: Annotated[str | None, typer.Option(help="cuda, cuda:0, cpu; lmms-eval's own.")] = None,
    limit: Annotated[
        int | None, typer.Option(help="Questions a set, for a trial; all if not given.")
    ] = None,
) -> None:
    """Score a merged export on general sets with lmms-eval.

    Needs pip install "excise[lmms]", unless --results brings what another machine made.
    """
    from excise.cli.files import check_writable
    from excise.cli.tables import show
    from excise.evaluate.lmms import run
    from excise.evaluate.lmms_results import read_results
    from excise.records.errors import InputError
    from excise.records.writing import write_json

    if (export is None) == (results is None):
        raise InputError("expected either an export to score or --results to read")
    check_writable(out)
    document = _document(out, None if export is None else export.resolve().name)
    if results is not None:
        found = read_results(results)
    else:
        assert export is not None
        names = [name.strip() for name in sets.split(",") if name.strip()]
        found = run(export, names, family=family, batch=batch, device=device, limit=limit)
    write_json(out, document | found)
    rows = [[name, _shown(figure)] for name, figure in found["general"].items()]
    show(["general", "figure"], rows)
    if found["lmms_eval"]["limit"]:
        print("note: a limit was set: a trial, no figure to report")
    print(f"scores: {out}")


def _document(out: Path, model: str | None) -> dict[str, Any]:
    """The metrics JSON that is there already, or a new one without splits."""
    from excise.evaluate.scoring import SCHEMA
    from excise.records.errors import InputError
    from excise.weights.json_file import read_object

    if out.exists():
        document = read_object(out)
        if document.get("schema") != SCHEMA:
            raise InputError(f"{out}: is no metrics JSON, expected schema {SCHEMA}")
        return document
    nothing = {"memory": None, "understanding": None, "meaningful": None}
    return {
        "schema": SCHEMA,
        "model": model,
        "run": None,
        "seed": 0,
        "splits": {},
        "over_refusal": None,
        "overall": nothing,
    }


def _shown(figure: dict[str, Any]) -> str:
    if figure["low"] is None:
        return f"{figure['mean']:.3f}"
    return f"{figure['mean']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"
