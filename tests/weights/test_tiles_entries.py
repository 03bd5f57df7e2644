"""The engine on sparse changes: alone, combined, and masked against changes of either kind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.weights.factored import Given, drawn, spec
from tests.weights.test_tiles import units
from torch import Tensor

from excise.records.errors import InputError
from excise.weights import tiles_schedule
from excise.weights.delta import LowRank
from excise.weights.sculpt import EPS
from excise.weights.sparse import Sparse
from excise.weights.sweep import sweep
from excise.weights.tiles import delta_tiles, edit_weight

SHAPE = 300, 700


def scattered(
    seed: int, shape: tuple[int, int] = SHAPE, share: float = 0.1, size: float = 0.01
) -> Sparse:
    generator = torch.Generator().manual_seed(seed)
    dense = torch.randn(shape, generator=generator) * size
    return Sparse.of(dense * (torch.rand(shape, generator=generator) < share))


def wide(change: Any) -> Tensor:
    """A change of either kind in float64."""
    if isinstance(change, LowRank):
        return change.scale * (change.b.double() @ change.a.double())
    return change.dense().double()


def sculpted(f: Any, a: Any, k: float, criterion: str) -> Tensor:
    """The paper's equations, literally, in float64."""
    f, a = wide(f), wide(a)
    weight = k * float(f.norm() / (a.norm() + EPS))
    conflict = f.sign() * a.sign() < 0
    larger = weight * a.abs() < f.abs()
    cut = {"both": conflict & larger, "direction": conflict, "magnitude": larger}[criterion]
    return f.masked_fill(cut, 0.0)


def whole(source: Given, edit: Any) -> Tensor:
    return torch.cat([block.clone() for _, block in delta_tiles(source, "m", edit)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_edited_weight_is_the_float64_sum_rounded(dtype: torch.dtype) -> None:
    f = scattered(0)
    weight = (torch.randn(SHAPE, generator=torch.Generator().manual_seed(2)) * 0.02).to(dtype)
    expected = (weight.double() + wide(f)).to(dtype)
    actual = edit_weight(weight, Given([f]), "m", spec("none"))
    if dtype == torch.float32:
        assert torch.equal(actual, expected)
    assert (actual == expected).double().mean() >= 0.999
    assert units(actual, expected, torch.maximum(weight.abs(), expected.abs())).max() <= 1
    untouched = wide(f) == 0
    assert torch.equal(actual[untouched], weight[untouched])


def test_the_change_comes_out_with_the_bits_that_are_stored(monkeypatch) -> None:
    f = scattered(1)
    assert torch.equal(whole(Given([f]), spec("none")), f.dense())
    monkeypatch.setattr(tiles_schedule, "ENTRIES", 1 << 12)
    assert torch.equal(whole(Given([f]), spec("none")), f.dense())


@pytest.mark.parametrize("criterion", ["both", "direction", "magnitude"])
@pytest.mark.parametrize(
    ("f", "a"),
    [
        (scattered(0), drawn(1, 8, SHAPE, 0.05)),
        (drawn(0, 8, SHAPE, 0.05), scattered(1, share=0.3)),
        (scattered(0, share=0.3), scattered(1, share=0.3)),
    ],
    ids=["sparse", "sparse anchor", "both sparse"],
)
def test_every_cut_is_the_one_of_the_equations(f: Any, a: Any, criterion: str) -> None:
    actual = whole(Given([f], a), spec(criterion, [1.5])).double()
    expected = sculpted(f, a, 1.5, criterion)
    assert torch.equal(actual == 0, expected == 0)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-8)
    assert 0 < int((expected != 0).sum()) < int((wide(f) != 0).sum())


def test_equal_entries_are_told_apart_as_in_float64() -> None:
    a = scattered(1, (64, 64), 1.0)
    f = Sparse(a.shape, a.index, -a.values)
    for k, share in ((1 - 1e-9, 0.0), (1 + 1e-9, 1.0)):
        edit = spec("both", [k / (f.norm() / (a.norm() + EPS))])
        kept = (whole(Given([f], a), edit) != 0).double().mean()
        assert float(kept) == pytest.approx(share, abs=0.01)


def test_sums_and_ties_take_branches_of_both_kinds() -> None:
    x, y = scattered(0), drawn(1, 4, SHAPE, 0.05)
    edit = spec("none", [0.0, 0.0], combine="sum", weights=[-0.5, 2.0])
    torch.testing.assert_close(
        whole(Given([x, y]), edit).double(), -0.5 * wide(x) + 2 * wide(y), rtol=1e-5, atol=1e-8
    )
    edit = spec("none", [0.0, 0.0], combine="ties", density=0.2, weights=[-1.0, -1.0])
    parts = []
    for part in (wide(x).float(), wide(y).float()):
        least = part.abs().flatten().topk(int(0.2 * part.numel())).values[-1]
        parts.append(torch.where(part.abs() >= least, part, 0.0))
    sign = torch.where(parts[0] + parts[1] >= 0, 1.0, -1.0)
    agree = [(part.sign() == sign) for part in parts]
    count = (agree[0].float() + agree[1].float()).clamp(min=1)
    expected = -(parts[0] * agree[0] + parts[1] * agree[1]) / count
    torch.testing.assert_close(whole(Given([x, y]), edit), expected, rtol=1e-5, atol=1e-7)


def test_a_dial_is_swept_over_sparse_changes() -> None:
    f, a = scattered(0, share=0.3), scattered(1, share=0.3)
    weight = torch.randn(SHAPE, generator=torch.Generator().manual_seed(2)).bfloat16()
    for k, edited in sweep(Given([f], a), "m", weight, spec(), [0.5, 2.0]):
        assert torch.equal(edited, edit_weight(weight, Given([f], a), "m", spec("both", [k])))


@pytest.mark.parametrize("power", [-100, 0, 100])
def test_tiny_and_huge_entries_keep_their_digits(power: int) -> None:
    f = scattered(0, (30, 20), 0.5, 1.0)
    f = Sparse(f.shape, f.index, f.values * 2.0**power)
    assert torch.equal(whole(Given([f]), spec("none")), f.dense())


def test_a_matrix_without_an_entry_stays_as_it_is() -> None:
    f = Sparse((6, 5), torch.empty(0, dtype=torch.int32), torch.empty(0))
    weight = torch.randn(6, 5)
    for source in (Given([f]), Given([f], drawn(0, 2, (6, 5)))):
        edit = spec("none" if source.held.anchor is None else "both")
        assert torch.equal(edit_weight(weight, source, "m", edit), weight)


def test_an_overflow_is_refused_by_name() -> None:
    place = torch.tensor([0], dtype=torch.int32)
    f = Sparse((2, 2), place, torch.tensor([60000.0]))
    with pytest.raises(InputError, match=r"^m: the edited weight is not finite in torch.float16$"):
        edit_weight(torch.full((2, 2), 60000.0).half(), Given([f]), "m", spec("none"))
    f = Sparse((2, 2), place, torch.tensor([2.0**127]))
    with pytest.raises(InputError, match=r"^m: the change of f0 is too large"):
        edit_weight(torch.zeros(2, 2), Given([f]), "m", spec("none"))
