"""Runs stacked: the sum of their changes, one run like any other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.weights.conftest import factors

from excise.cli import main
from excise.records.errors import InputError
from excise.weights.run import Run
from excise.weights.stack import stack, upon

MODULE = "layers.0.attn.q_proj"


def change(run: Run, vlm: Any, module: str = MODULE) -> torch.Tensor:
    weight = vlm.model.get_parameter(f"{module}.weight")
    before = weight.detach().clone()
    with run.applied(vlm):
        return weight.detach() - before


@pytest.fixture
def plain_run(tmp_path: Path, write_run: Callable[..., Path]) -> Callable[..., Run]:
    """A run of one plain adapter, drawn from a seed."""

    def make(name: str, seed: int, base: str | None = None) -> Run:
        folder = write_run(f"runs/{name}", criterion="none", forgetting=factors(seed))
        info = json.loads((folder / "run.json").read_text())
        info["seed"] = seed
        if base is not None:
            info["base"]["weights_hash"] = base
        (folder / "run.json").write_text(json.dumps(info))
        return Run.load(folder)

    return make


@pytest.fixture
def two(plain_run: Callable[..., Run]) -> list[Run]:
    return [plain_run("one", 1).turned(strength=0.5), plain_run("two", 2)]


def test_the_change_of_a_stack_is_the_sum(two: list[Run], vlm: Any, tmp_path: Path) -> None:
    stacked = stack(two, tmp_path / "all")
    parts = [change(run, vlm) for run in two]
    assert all(part.any() for part in parts)
    torch.testing.assert_close(change(stacked, vlm), sum(parts), rtol=1e-4, atol=1e-6)


def test_a_stack_is_stacked_again_and_a_request_taken_out(
    two: list[Run], plain_run: Callable[..., Run], vlm: Any, tmp_path: Path
) -> None:
    third = plain_run("three", 3)
    again = stack([stack(two, tmp_path / "two-of-them"), third], tmp_path / "three-of-them")
    without = stack([two[1], third], tmp_path / "without-the-first")
    torch.testing.assert_close(
        change(again, vlm) - change(two[0], vlm),
        change(without, vlm), rtol=1e-3, atol=1e-6,
    )  # fmt: skip


def test_runs_outlive_what_they_were_stacked_from(two: list[Run], tmp_path: Path) -> None:
    stacked = stack(two, tmp_path / "all")
    assert not any(path.is_symlink() for path in stacked.folder.rglob("*"))
    assert stacked.info["stacked"][0]["run"] == two[0].id


def test_what_does_not_go_together_is_one_line(
    two: list[Run], plain_run: Callable[..., Run], tmp_path: Path
) -> None:
    def refused(runs: list[Any], out: Path = tmp_path / "all") -> str:
        with pytest.raises(InputError) as error:
            stack(runs, out)
        assert not (tmp_path / "all").exists()
        return str(error.value)

    assert "no runs" in refused([])
    assert "twice" in refused([two[0], two[0]])
    other = plain_run("other", 4, base="f" * 64)
    assert "made for a base model" in refused([two[0], other])
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    assert "full" in refused(two, tmp_path / "full")


def test_the_command(two: list[Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "all"
    assert main(["stack", *(str(run.folder) for run in two), "--out", str(out)]) == 0
    assert f"run: {out}" in capsys.readouterr().out
    assert len(Run.load(out).edit.branches) == 2


@pytest.fixture
def over(two: list[Run], plain_run: Callable[..., Run]) -> Run:
    """A third run upon the stack of two."""
    third = plain_run("three", 3)
    upon(two[1], third.folder, third.turned(strength=0.5).edit).write(third.folder / "edit.json")
    info = json.loads((third.folder / "run.json").read_text())
    (third.folder / "run.json").write_text(json.dumps({**info, "upon": [two[1].id]}))
    return Run.load(third.folder)


def test_a_run_upon_another_is_the_sum_and_its_dial_turns_its_own_part(
    over: Run, two: list[Run], plain_run: Callable[..., Run], vlm: Any
) -> None:
    own, below = change(plain_run("alone", 3), vlm), change(two[1], vlm)
    torch.testing.assert_close(change(over, vlm), 0.5 * own + below, rtol=1e-4, atol=1e-6)
    assert over.edit.strength == 0.5
    turned = over.turned(strength=2)
    torch.testing.assert_close(change(turned, vlm), 2 * own + below, rtol=1e-4, atol=1e-6)


def test_a_run_upon_a_run_upon_another_keeps_them_apart(
    over: Run, plain_run: Callable[..., Run], vlm: Any
) -> None:
    fourth = plain_run("four", 4)
    own, below = change(fourth, vlm), change(over, vlm)
    edit = upon(over, fourth.folder, fourth.edit)
    edit.write(fourth.folder / "edit.json")
    names = [branch.adapter for branch in edit.branches]
    assert len({*names}) == 3 and [branch.fixed for branch in edit.branches] == [False, True, True]
    run = Run.load(fourth.folder)
    torch.testing.assert_close(change(run, vlm), own + below, rtol=1e-4, atol=1e-6)
    assert upon(over, fourth.folder, fourth.edit) == edit, "what is copied already is taken"


def test_what_a_run_has_in_it_is_not_stacked_onto_it(
    over: Run, two: list[Run], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="has .*two in it already"):
        stack([over, two[1]], tmp_path / "all")
    alone = stack([over], tmp_path / "alone")
    with pytest.raises(InputError, match="has .*two in it already"):
        stack([alone, two[1]], tmp_path / "all")
    assert len(stack([over, two[0]], tmp_path / "all").edit.branches) == 3


def test_a_sculpted_run_is_built_upon_by_none(
    write_run: Callable[..., Path], two: list[Run]
) -> None:
    cut = Run.load(write_run("runs/cut", forgetting=factors(1), anchor=factors(2)))
    with pytest.raises(InputError, match="is sculpted or combined by ties"):
        upon(cut, two[0].folder, two[0].edit)
