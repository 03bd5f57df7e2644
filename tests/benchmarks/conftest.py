"""The benchmarks are scripts beside the package; here they are modules."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NAMES = ("measure", "models", "usual", "training", "evaluation", "growth", "gpu")


@pytest.fixture(scope="module")
def scripts() -> Iterator[dict[str, ModuleType]]:
    """The benchmark modules by name; gone again afterwards, since their names are common."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield {name: importlib.import_module(name) for name in NAMES}
    finally:
        sys.path.remove(str(BENCHMARKS))
        for name in NAMES:
            sys.modules.pop(name, None)


@pytest.fixture
def in_one_process(scripts: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sides work in this process, which saves most of the time of a miniature."""
    measure = scripts["measure"]

    def compare(script: Path, options: list[str], turns: int, *, resident: bool) -> Any:
        readings = measure.Readings(machine=measure.machine("cpu"), limit=1e12)
        for side in measure.SIDES:
            bench = scripts[script.stem]
            job = bench.job(bench.parse([*options, "--side", side]))
            with measure.counted() as flops:
                readings.evidence[side] = job()
            readings.flops[side] = flops()
            readings.seconds[side] = [1.0 + turn for turn in range(turns)]
            readings.memory[side] = readings.resting[side] = measure.peak_memory("cpu")
        return readings

    monkeypatch.setattr(measure, "compare", compare)
