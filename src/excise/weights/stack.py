"""Several runs as one: requests that came one after another, each with an adapter of its own.

`stack` sums runs that were each made on the untouched base and stay as they were made; one can be
taken out again by stacking the others. Adapters that know nothing of each other disturb one
another, though (docs/method.md): `upon` is for a run that was trained with an earlier one on the
model, and has it. Either way the result is a run like any other: it is applied, evaluated, exported
and built upon.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
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
        require_plain(run.edit, str(run.folder))
    for run in runs:
        for inner in holds(run)[1:]:
            if inner in seen:
                raise InputError(f"{run.folder}: has {seen[inner]} in it already")
    branches: list[Branch] = []
    with new_folder(out) as made:
        for number, run in enumerate(runs):
            for branch in _summed(run.edit):
                name = f"{number:03d}-{_flat(branch)}"
                shutil.copytree(run.folder / branch.adapter, made / name)
                branches.append(Branch(adapter=name, weight=branch.weight))
        edit = EditSpec(criterion="none", combine="sum", branches=tuple(branches))
        edit.write(made / "edit.json")
        write_json(made / "run.json", _info(runs))
    return Run.load(out)


def upon(earlier: Run, folder: Path, edit: EditSpec) -> EditSpec:
    """The edit of a run in `folder` that was trained with an earlier one on the model.

    The earlier run's adapters are copied beside its own, and their branches follow, fixed at their
    strengths. A copy that is there already is not made again.

    Raises:
        InputError: one of the two is sculpted or combined by TIES.
    """
    require_plain(earlier.edit, f"{earlier.folder}")
    require_plain(edit, "upon: the method's change")
    taken = [int(b.adapter.partition("-")[0]) for b in earlier.edit.branches if b.fixed]
    below = 1 + max(taken, default=-1)
    branches = [*_summed(edit)]
    for branch in _summed(earlier.edit):
        name = branch.adapter if branch.fixed else f"{below:03d}-{_flat(branch)}"
        if not (folder / name).is_dir():
            with new_folder(folder / name) as made:
                shutil.copytree(earlier.folder / branch.adapter, made, dirs_exist_ok=True)
        branches.append(branch.model_copy(update={"adapter": name, "fixed": True}))
    return EditSpec(criterion="none", combine="sum", branches=tuple(branches))


def holds(run: Run) -> list[str]:
    """Ids of the run and of the runs whose adapters it has beside its own."""
    stacked = [
        id for part in run.info.get("stacked", ()) for id in part.get("holds", [part["run"]])
    ]
    return [run.id, *stacked, *run.info.get("upon", ())]


def require_plain(edit: EditSpec, where: str) -> None:
    """See that a change can be added to others.

    Raises:
        InputError: it is sculpted or combined by TIES; `where` begins the line.
    """
    if edit.criterion != "none" or edit.combine == "ties":
        raise InputError(f"{where}: is sculpted or combined by ties, expected plain adapters")


def _summed(edit: EditSpec) -> Iterator[Branch]:
    """The branches with the weights that they have in a sum."""
    for branch in edit.branches:
        mean = edit.combine == "mean"
        yield Branch(
            adapter=branch.adapter,
            weight=1 / len(edit.branches) if mean else branch.weight,
            fixed=branch.fixed,
        )


def _flat(branch: Branch) -> str:
    return branch.adapter.replace("/", "-")


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
            {
                "run": run.id,
                "holds": holds(run),
                "method": run.info.get("method"),
                "data": run.info.get("data"),
            }
            for run in runs
        ],
        "targets": [*targets],
        "versions": first.get("versions", {}),
    }
