"""Rank of a LoRA export against its error and what is forgotten, on the specimen.

    python benchmarks/lora_rank.py --json rank.json            makes the run, a few minutes
    python benchmarks/lora_rank.py --run RUN --world WORLD     takes one that is there

For each rank the run is factored as `excise export --as lora` does it, put on the model, and scored
(ROUGE-L, records sampled evenly from splits and kinds). Beside it stand the run itself, the run's
forgetting adapter without the mask, and the model before.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import excise
from excise.weights.lora_again import Factored
from excise.weights.lora_again_folder import Wish, error_report, factor_run, write_adapter
from excise.weights.run import Run

RANKS = (8, 16, 32, 64, 128)
SETTINGS = {"k": "5", "lr": "5e-3", "steps": "150", "batch": "8"}  # the demo's
COLUMNS = (
    ("forget", "image_memory"),
    ("forget", "text_memory"),
    ("retain", "image_memory"),
    ("retain", "text_memory"),
    ("forget", "image_understanding"),
    ("retain", "image_understanding"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--world", type=Path, help="a specimen folder (original/, data/)")
    parser.add_argument("--run", type=Path, help="a run on its original")
    parser.add_argument("--k", type=float, nargs="*", default=[5.0, 2.0], help="dials to factor at")
    parser.add_argument("--limit", type=int, default=100, help="records of each split and kind")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        world = given.world or Path(scratch) / "world"
        if given.world is None:
            excise.specimen.write(world)
        data, vlm = excise.read(world / "data"), excise.load(world / "original")
        run = Run.load(given.run) if given.run else forget(vlm, data, Path(scratch) / "run")
        rows = [{"what": "before", **scored(vlm, data, given.limit)}]
        plain = run.turned(criterion="none")
        rows.append({"what": "no mask", **scored(vlm, data, given.limit, plain)})
        for k in given.k:
            turned = run.turned(k=k)
            rows.append({"what": f"k {k:g}, merged", **scored(vlm, data, given.limit, turned)})
            for rank in RANKS:
                made = factor_run(turned.source(), turned.edit, Wish(rank=rank), lambda *_: None)
                lora = as_run(turned, made, Path(scratch) / f"lora-{k:g}-{rank}")
                report = error_report(made)
                rows.append(
                    {
                        "what": f"k {k:g}, rank {rank}",
                        "relative_error": report["relative_error"],
                        "largest_error": max(
                            m["relative_error"] for m in report["modules"].values()
                        ),
                        "parameters": report["parameters"],
                        **scored(vlm, data, given.limit, lora),
                    }
                )
                print(line(rows[-1]), file=sys.stderr, flush=True)
    print(heading(), *map(line, rows), sep="\n")
    if given.json:
        given.json.write_text(json.dumps({"rows": rows, "settings": SETTINGS}, indent=2) + "\n")


def forget(vlm: Any, data: Any, out: Path) -> Run:
    method = excise.methods.make("smfa", SETTINGS)
    return excise.forget(vlm, data, method=method, out=out)


def as_run(run: Run, factored: Mapping[str, Factored], folder: Path) -> Run:
    """The factored change as a run of one plain adapter, so that it can be put on and scored."""
    (folder / "lora").mkdir(parents=True)
    write_adapter(folder / "lora", factored, None)
    edit = {"schema": "excise.edit/1", "criterion": "none", "branches": [{"adapter": "lora"}]}
    (folder / "edit.json").write_text(json.dumps(edit))
    (folder / "run.json").write_text(json.dumps(dict(run.info)))
    return Run.load(folder)


def scored(vlm: Any, data: Any, limit: int, run: Run | None = None) -> dict[str, float]:
    """ROUGE-L of each column, with the run on the model if there is one."""
    if run is not None:
        run.apply(vlm)
    try:
        found = excise.evaluate(vlm, data, splits=["forget", "retain"], limit=limit)
    finally:
        if run is not None:
            run.remove(vlm)
    return {f"{s} {k}": found["splits"][s][k]["rouge_l"]["mean"] for s, k in COLUMNS}


def heading() -> str:
    names = ["", "error", *(f"{s} {k.replace('_', ' ')}" for s, k in COLUMNS)]
    return "| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|"


def line(row: Mapping[str, Any]) -> str:
    error = f"{row['relative_error']:.3f}" if "relative_error" in row else "-"
    figures = [f"{row[f'{s} {k}']:.3f}" for s, k in COLUMNS]
    return "| " + " | ".join([row["what"], error, *figures]) + " |"


if __name__ == "__main__":
    main()
