"""What is tried: grids, options for all or for one, an equal budget."""

from __future__ import annotations

from pathlib import Path

import pytest

from excise.bench.grid import SHIPPED, Grid, lengths
from excise.bench.options import Budget, known_methods, options_of
from excise.methods.method import METHODS
from excise.methods.registry import option_names


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    path = tmp_path / "grid.json"
    path.write_text(
        '{"common": {"steps": 7, "k": 3}, "default": {"lr": [0.001, 0.002]},'
        ' "methods": {"smfa": [{"k": [1, 2, 4], "lr": [0.01, 0.02]}, {"k": 9}]}}'
    )
    return Grid.read(path)


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_has_trials_in_every_shipped_grid(name: str, method: str) -> None:
    shipped = Grid.read(name)
    assert set(shipped.methods) <= set(METHODS)
    trials = shipped.trials(method, {}, Budget(4))
    assert 1 <= len(trials) <= 4
    named = {option for axes in shipped.methods.get(method, []) for option in axes}
    for trial in trials:
        for option in ("steps", "batch"):
            if "fit" in trial.settings and option not in named:
                assert trial.settings["fit"][option] == shipped.common[option]


def test_trials_are_all_combinations_the_published_first(grid: Grid) -> None:
    trials = grid.trials("smfa", {}, Budget(20))
    assert [trial.settings["k"] for trial in trials] == [1, 1, 2, 2, 4, 4, 9]
    assert trials[0].options == {"k": 1, "lr": 0.01}
    assert trials[0].settings["fit"]["lr"] == 0.01 and trials[0].settings["fit"]["steps"] == 7


def test_a_budget_takes_the_first_and_always_the_same_of_the_others(grid: Grid) -> None:
    whole = grid.trials("smfa", {}, Budget(20))
    some = grid.trials("smfa", {}, Budget(3))
    assert len(some) == 3 and some[0] == whole[0] and some[1] in whole and some[2] in whole
    assert some == grid.trials("smfa", {}, Budget(3))
    assert grid.trials("smfa", {}, Budget(1)) == whole[:1]


def test_a_method_that_is_not_listed_gets_the_default(grid: Grid) -> None:
    trials = grid.trials("refusal", {}, Budget(9))
    assert [trial.settings["fit"]["lr"] for trial in trials] == [0.001, 0.002]


def test_what_the_user_gives_takes_the_place_of_the_grids(grid: Grid) -> None:
    trials = grid.trials("smfa", {"lr": "5e-1", "steps": "2"}, Budget(20))
    assert [trial.settings["k"] for trial in trials] == [1, 2, 4, 9]
    assert {trial.settings["fit"]["lr"] for trial in trials} == {0.5}
    assert {trial.settings["fit"]["steps"] for trial in trials} == {2}


def test_a_budgets_steps_are_every_fits(grid: Grid) -> None:
    spent = Budget.parse("2x11")
    assert spent == Budget(2, 11)
    for method in ("refusal", "smfa"):
        trials = grid.trials(method, {}, spent)
        assert [trial.settings["fit"]["steps"] for trial in trials] == [11, 11]


def test_a_budgets_steps_come_before_a_method_s_own_in_the_grid(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text("common: {steps: 7}\nmethods: {refusal: {steps: 9, batch: 4}}")
    grid = Grid.read(path)
    own, spent, given = (
        grid.trials("refusal", options, budget)[0].settings["fit"]["steps"]
        for options, budget in (({}, Budget(1)), ({}, Budget(1, 3)), ({"steps": "2"}, Budget(1)))
    )
    assert (own, spent, given) == (9, 3, 2)


def test_a_method_whose_fits_are_longer_than_the_others_is_named(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text("common: {steps: 7, batch: 2}\nmethods: {smfa: {steps: 9, batch: 4}}")
    grid = Grid.read(path)
    names = ("refusal", "npo", "smfa", "manu")
    trials = {name: grid.trials(name, {}, Budget(1)) for name in names}
    assert lengths(trials) == "Fits have 7 steps of 2 rows, but for smfa 9 steps of 4 rows."
    del trials["smfa"]
    assert lengths(trials) == "Every fit has 7 steps of 2 rows."
    assert lengths({"manu": trials["manu"]}) == ""


def test_an_option_is_for_all_that_have_it_or_for_one() -> None:
    given = options_of(["refusal", "smfa"], {"lr": "1", "k": "2", "smfa.lr": "3", "anchor.lr": "4"})
    assert given["refusal"] == {"lr": "1"}
    assert given["smfa"] == {"lr": "3", "k": "2", "anchor.lr": "4"}


def test_all_stands_for_every_method() -> None:
    assert known_methods(["all"]) == sorted(METHODS)
    assert known_methods(["smfa", " refusal", "smfa"]) == ["smfa", "refusal"]


def test_every_option_of_a_shipped_grid_exists() -> None:
    for name in SHIPPED:
        for method, listed in Grid.read(name).methods.items():
            assert {o for axes in listed for o in axes} <= set(option_names(METHODS[method]))
