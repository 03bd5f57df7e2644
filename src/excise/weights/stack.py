"""Several runs as one: requests that came one after another, each with an adapter of its own.

Training request after request into the same weights wrecks a model; here each run was made on the
untouched base and stays as it was made, and what is served is the sum of their changes. A stacked
run is a run like any other: it is applied, evaluated and exported, and a later request is stacked
onto it. A request can be taken out again by stacking the others.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from excise.records.errors import InputError
from excise.records.writing import new_folder, write_json
from excise.weights.edit import Branch, EditSpec
from excise.weights.run import SCHEMA, Run


def stack(runs: Sequence[Run], out: str | Path) -> Run:
    """Write a run whose change is the sum of the changes of `runs`, each at its own strength.

    Costs a copy of the adapters. What each was made from is said in run.json under `stacked`.

    Raises:
        InputError: no runs, one of them twice, runs of different base models, a sculpted run (its
            mask needs an anchor of its own: stack its LoRA export, or runs of another method), or
            `out` is not empty.
    """
    if not runs:
        raise InputError("no runs to stack, expected at least one")
    seen: dict[str, Path] = {}
    for run in runs:
        if run.id in seen:
            raise InputError(f"{run.folder}: is given twice")
        seen[run.id] = run.folder
        if run.base_hash != runs[0].base_hash:
            raise InputError(
                f"{run.folder}: made for a base model with weights {run.base_hash[:12]}, "
                f"{runs[0].folder} for {runs[0].base_hash[:12]}"
            )
        if run.edit.criterion != "none" or run.edit.combine == "ties":
            raise InputError(
                f"{run.folder}: is sculpted or combined by ties, expected plain adapters"
            )
    branches: list[Branch] = []
    with new_folder(out) as made:
        for number, run in enumerate(runs):
            for branch in run.edit.branches:
                name = f"{number:03d}-{branch.adapter.replace('/', '-')}"
                shutil.copytree(run.folder / branch.adapter, made / name)
                weight = branch.weight
                if run.edit.combine == "mean":
                    weight = 1 / len(run.edit.branches)
                branches.append(Branch(adapter=name, weight=weight))
        edit = EditSpec(criterion="none", combine="sum", branches=tuple(branches))
        edit.write(made / "edit.json")
        write_json(made / "run.json", _info(runs))
    return Run.load(out)


def _info(runs: Sequence[Run]) -> dict[str, Any]:
    first = runs[0].info
    targets = {target: None for run in runs for target in run.info.get("targets", ())}
    return {
        "schema": SCHEMA,
        "method": "stack",
        "settings": {},
        "base": first["base"],
        "seed": first.get("seed", 0),
        "stacked": [
            {"run": run.id, "method": run.info.get("method"), "data": run.info.get("data")}
            for run in runs
        ],
        "targets": [*targets],
        "versions": first.get("versions", {}),
    }
