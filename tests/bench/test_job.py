"""A cell's key changes with everything that its figures depend on, and with nothing else."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import excise
from excise.bench.grid import Trial
from excise.bench.job import Job
from excise.bench.scoring import Scoring
from excise.bench.source import Draw, Source
from excise.bench.source_code import code_of
from excise.methods import SMFA, Refusal
from excise.methods.method import Method


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(
        "method", Source("model", Path("data"), tmp_path), Draw(5, 0, "f"), "model", "w",
        Scoring(), False, {"dtype": "float32"}, "refusal", (Trial({"pool": 1}, {"pool": 1}),),
    )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"role": "original"},
        {"draw": Draw(10, 0, "f")},
        {"draw": Draw(5, 1, "f")},
        {"draw": Draw(5, 0, "g")},
        {"weights": "v"},
        {"scoring": Scoring(limit=7)},
        {"scoring": Scoring(seed=7)},
        {"loading": {"dtype": "bfloat16"}},
        {"method": "smfa"},
        {"trials": (Trial({}, {"pool": 2}),)},
        {"trials": (Trial({}, {"pool": 1}), Trial({}, {"pool": 2}))},
    ],
)
def test_the_key_changes(job: Job, change: dict[str, Any]) -> None:
    assert replace(job, **change).key != job.key


def test_the_key_changes_with_the_version(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    before = job.key
    monkeypatch.setattr(excise, "__version__", "9")
    assert replace(job).key != before


def test_the_key_does_not_depend_on_places(job: Job, tmp_path: Path) -> None:
    moved = replace(job, source=Source("there", Path("elsewhere"), tmp_path / "x"), model="there")
    assert moved.key == job.key


def test_the_original_is_one_for_all_seeds_of_the_same_data(job: Job) -> None:
    first, second = (
        replace(job, role="original", draw=Draw(None, seed, "f"), method="") for seed in (0, 1)
    )
    assert first.key == second.key and first.file == second.file


SOURCE = '''"""A method."""
from excise.methods.refusal import Refusal


class Mine(Refusal):
    """Mine."""

    # {comment}
    def shorter(self) -> int:
        """How much."""
        return {value}
'''


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., type[Method]]:
    """A method in a module of its own, with that text."""

    def write(**words: str) -> type[Method]:
        path = tmp_path / "somebodys.py"
        path.write_text(SOURCE.format(**words))
        spec = importlib.util.spec_from_file_location("somebodys", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["somebodys"] = module
        spec.loader.exec_module(module)
        import linecache

        linecache.checkcache()
        made: type[Method] = module.Mine
        return made

    return write


def test_a_methods_code_counts_and_its_comments_do_not(
    written: Callable[..., type[Method]],
) -> None:
    code = code_of(written(comment="one", value="1"))
    assert code_of(written(comment="another one, longer", value="1")) == code
    assert code_of(written(comment="one", value="12")) != code


def test_each_method_has_a_code_of_its_own() -> None:
    assert code_of(SMFA) != code_of(Refusal) == code_of(Refusal)
