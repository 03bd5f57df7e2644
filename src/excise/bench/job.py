"""A job: what one cell of the bench is, and the key by which a finished one is known again.

The key is a hash of everything that the cell's figures depend on: the model's weights, the data,
the method with its code and every setting that may be tried, the seed, how it is scored and how
the model is loaded, and the version of excise. A job is plain values and travels to a worker.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import excise
from excise.bench.grid import Trial
from excise.bench.scoring import Scoring
from excise.bench.source import Draw, Source
from excise.bench.source_code import code_of
from excise.methods.method import METHODS
from excise.records.errors import InputError
from excise.weights.json_file import read_object

SCHEMA = "excise.cell/1"

Role = Literal["original", "reference", "method"]


@dataclass(frozen=True, eq=False)
class Job:
    """One model to be scored on one choice of forgotten people, after a method or as it is.

    `model` is what is loaded: the original, or the reference; `weights` is its hash. `trials` are
    the settings to choose from, one if there is nothing to choose.
    """

    role: Role
    source: Source
    draw: Draw
    model: str
    weights: str
    scoring: Scoring
    clear: bool
    loading: dict[str, Any] = field(default_factory=dict)
    method: str = ""
    trials: tuple[Trial, ...] = ()
    sees: tuple[dict[str, str], ...] = ()
    """Hashes of what the method learns from beside the records."""

    @cached_property
    def what(self) -> dict[str, Any]:
        """Everything that the figures depend on."""
        what: dict[str, Any] = {
            "schema": SCHEMA,
            "excise": excise.__version__,
            "role": self.role,
            "weights": self.weights,
            "data": self.draw.fingerprint,
            "scoring": asdict(self.scoring),
            "loading": {name: _content(value) for name, value in sorted(self.loading.items())},
        }
        if self.role == "method":
            what |= {
                "method": self.method,
                "code": code_of(METHODS[self.method]),
                "sees": list(self.sees),
                "trials": [trial.settings for trial in self.trials],
                "ratio": self.draw.ratio,
                "seed": self.draw.seed,
            }
        return what

    @cached_property
    def key(self) -> str:
        """SHA-256 of `what`."""
        text = json.dumps(self.what, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def name(self) -> str:
        """Method, draw and the beginning of the key: what the cell's files are called."""
        about = f"{self.method}-{self.draw.name}" if self.role == "method" else self.role
        return f"{about}-{self.key[:10]}"

    @property
    def label(self) -> str:
        """For a line of progress."""
        ratio = "as given" if self.draw.ratio is None else f"{self.draw.ratio} %"
        return f"{self.method or self.role}, {ratio}, seed {self.draw.seed}"

    @property
    def file(self) -> Path:
        """Where the finished cell is."""
        return self.source.bench / "cells" / f"{self.name}.json"

    def found(self) -> dict[str, Any] | None:
        """The finished cell; None if it is still to be made, or to be asked again in clear."""
        if not self.file.is_file():
            return None
        cell = read_object(self.file)
        if cell.get("schema") != SCHEMA or cell.get("key") != self.key:
            raise InputError(f"{self.file}: is not the cell that its name says; delete it")
        return None if self.clear and not cell.get("clear") else cell


def _content(value: Any) -> Any:
    """A file by what is in it, anything else as it is."""
    if isinstance(value, Path) and value.is_file():
        return hashlib.sha256(value.read_bytes()).hexdigest()
    return value
