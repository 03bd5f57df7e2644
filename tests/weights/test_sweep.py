from __future__ import annotations

import pytest
import torch
from tests.weights.factored import Given, drawn, spec

from excise.records.errors import InputError
from excise.weights import tiles_schedule
from excise.weights.sweep import GRID, sweep
from excise.weights.tiles import edit_weight
from excise.weights.tiles_factors import Factors

SHAPE = 70, 90


@pytest.mark.parametrize("criterion", ["both", "direction", "magnitude", "none"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_each_weight_of_a_sweep_is_bit_for_bit_that_of_its_k(criterion, dtype, monkeypatch) -> None:
    monkeypatch.setattr(tiles_schedule, "ENTRIES", 1 << 11)
    anchor = None if criterion == "none" else drawn(2, 3, SHAPE)
    source = Given([drawn(0, 16, SHAPE), drawn(1, 5, SHAPE)], anchor)
    weight = (drawn(3, 8, SHAPE).dense() * 0.1).to(dtype)
    kept = weight.clone()
    seen = []
    for k, edited in sweep(source, "m", weight, spec(criterion, [1.0, 9.0])):
        expected = edit_weight(weight, source, "m", spec(criterion, [k, k]))
        assert torch.equal(edited, expected)
        seen.append((k, edited.clone()))
    assert [k for k, _ in seen] == list(GRID) and torch.equal(weight, kept)
    differ = not torch.equal(seen[0][1], seen[-1][1])
    assert differ == (criterion in ("both", "magnitude"))


def test_the_products_are_computed_once(monkeypatch) -> None:
    source = Given([drawn(0, 4, SHAPE)], drawn(1, 4, SHAPE))
    computed, multiply = [], Factors.multiply

    def counted(self, rows, out):
        computed.append(self.dense is None)
        multiply(self, rows, out)

    monkeypatch.setattr(Factors, "multiply", counted)
    list(sweep(source, "m", torch.zeros(SHAPE), spec(), [0.0, 1.0, 2.0]))
    assert computed.count(True) == 2 and computed.count(False) == 6


@pytest.mark.parametrize("k", [-1.0, float("nan"), float("inf"), "2"])
def test_a_k_that_is_no_number_from_zero_up_is_refused_before_any_work(k) -> None:
    with pytest.raises(InputError, match=r"^k: "):
        next(sweep(Given([drawn(0, 2, SHAPE)]), "m", torch.zeros(SHAPE), spec("none"), [1.0, k]))
