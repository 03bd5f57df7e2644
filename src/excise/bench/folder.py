"""The bench folder: one model and one data set each, cells of any methods, ratios and seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from excise.records.errors import InputError
from excise.records.writing import write_json
from excise.weights.json_file import read_object

PLAN = "plan.json"
SCHEMA = "excise.bench-plan/1"


def claim(folder: Path, *, weights: str, data: str) -> None:
    """Make the folder, or see that it is this model's and this data set's.

    Args:
        weights: hash of the model's weights.
        data: fingerprint of the data folder as it was given, or "specimen".

    Raises:
        InputError: it holds something else, or cannot be written to.
    """
    plan: dict[str, Any] = {"schema": SCHEMA, "weights": weights, "data": data}
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file, expected a new folder or a bench's")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / PLAN).is_file():
            raise InputError(f"{folder}: not empty and not a bench, expected a new folder")
        found = read_object(folder / PLAN)
        for key, name in (("weights", "model"), ("data", "data set")):
            if found.get(key) != plan[key]:
                there, here = str(found.get(key))[:12], plan[key][:12]
                raise InputError(
                    f"{folder}: holds a bench of another {name} ({there}, this one is {here}), "
                    "expected a new folder"
                )
        return
    write_json(folder / PLAN, plan)
