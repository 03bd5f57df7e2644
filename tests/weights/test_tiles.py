from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.weights.factored import Given, dense, drawn, reference, spec
from torch import Tensor

from excise.records.errors import InputError
from excise.weights import tiles_schedule
from excise.weights.delta import LowRank
from excise.weights.sculpt import EPS
from excise.weights.tiles import delta_tiles, edit_weight

HALVES = [torch.bfloat16, torch.float16]
TYPES = [*HALVES, torch.float32, torch.float64]


def units(x: Tensor, y: Tensor, near: Tensor) -> Tensor:
    """How many units in the last place of `near` two tensors differ by."""
    info = torch.finfo(x.dtype)
    power = torch.frexp(near.double().abs().clamp_min(info.smallest_normal)).exponent - 1
    return (x.double() - y.double()).abs() / (info.eps * 2.0 ** power.double())


numbers = st.one_of(
    st.just(0.0),
    st.sampled_from([1.0, -1.0, 0.5, -2.0, 3.0]),
    st.floats(-4, 4, width=32),
    st.floats(-4, 4, width=32).map(lambda x: x * 1e-22),
    st.sampled_from([2.0**-149, -(2.0**-149), 3e-39, -1e-42, 1e18]),
)


@st.composite
def changes(draw: st.DrawFn) -> tuple[LowRank, LowRank]:
    """Two changes of one shape and often of different ranks, with every kind of number in them."""
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 5))

    def one() -> LowRank:
        rank = draw(st.integers(1, 3))
        fill = lambda n: draw(st.lists(numbers, min_size=n, max_size=n))  # noqa: E731
        b, a = torch.tensor(fill(rows * rank)), torch.tensor(fill(rank * columns))
        scale = draw(st.sampled_from([1.0, 0.3, -2.0]))
        return LowRank(b.view(rows, rank), a.view(rank, columns), scale)

    return one(), one()


@settings(max_examples=300, deadline=None)
@given(
    changes(),
    st.sampled_from([0.0, 1e-300, 0.25, 1.0, 5.0, 1e6, 1e300]),
    st.sampled_from(["both", "direction", "magnitude", "none"]),
)
def test_every_cut_is_the_one_of_the_equations(pair, k, criterion) -> None:
    f, a = pair
    expected = reference(f, a, k, criterion)
    ((_, actual),) = delta_tiles(Given([f], a), "m", spec(criterion, [k]))
    # Float64 itself cannot tell where sums cancel, nor a tie of a product with a square root.
    sums = abs(f.scale) * (f.b.double().abs() @ f.a.double().abs())
    anchors = abs(a.scale) * (a.b.double().abs() @ a.a.double().abs())
    wide, anchor = dense(f), dense(a)
    left = k * float(wide.norm() / (anchor.norm() + EPS)) * anchor.abs()
    unsure = (left - wide.abs()).abs() <= 1e-9 * wide.abs()
    unsure |= (wide.abs() < 1e-12 * sums) | (anchor.abs() < 1e-12 * anchors)
    # What float32 keeps of a sum; numbers far below the factors' largest have fewer digits.
    largest = float(f.b.double().norm(dim=1).max() * f.a.double().norm(dim=0).max())
    wrong = 1e-6 * sums + 2.0**-140 * max(1.0, largest)
    close = (actual.double() - expected).abs() <= wrong
    assert (
        close | (unsure & ((actual.double() - wide).abs() <= wrong)) | (unsure & (actual == 0))
    ).all()


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("criterion", ["both", "direction", "magnitude", "none"])
def test_half_precision_results_are_the_float64_reference_but_for_one_unit(
    dtype, criterion
) -> None:
    shape = 300, 700
    f, a = drawn(0, 16, shape, 0.05), drawn(1, 8, shape)
    a.b[7], a.a[:, 3] = 0.0, 0.0
    weight = (torch.randn(shape, generator=torch.Generator().manual_seed(2)) * 0.02).to(dtype)
    wide = weight.double() + reference(f, a, 1.5, criterion)
    expected = wide.to(dtype)
    actual = edit_weight(weight, Given([f], a), "m", spec(criterion, [1.5]))
    assert actual.dtype == dtype
    assert (actual == expected).double().mean() >= 0.999
    # A sum that cancels has fewer digits than either number: units are the larger one's.
    near = torch.maximum(weight.abs(), expected.abs())
    assert units(actual, expected, near).max() <= 1


def test_rounding_is_to_nearest_and_ties_go_to_even() -> None:
    weight = torch.tensor([[1.0, 1 + 2**-7, 1.0, 1.0, -1.0]]).bfloat16()
    added = torch.tensor([[2.0**-8, 2.0**-8, 2.0**-8 + 2.0**-20, 2.0**-9, -(2.0**-8)]])
    change = LowRank(torch.ones(1, 1), added, 1.0)
    edited = edit_weight(weight, Given([change]), "m", spec("none"))
    assert edited.tolist() == [[1.0, 1 + 2**-6, 1 + 2**-7, 1.0, -1.0]]


@pytest.mark.parametrize("dtype", TYPES)
def test_weights_of_each_type_keep_it_and_may_be_edited_in_place(dtype) -> None:
    shape = 40, 60
    source = Given([drawn(0, 4, shape)], drawn(1, 4, shape))
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(2)).to(dtype)
    kept = weight.clone()
    ((_, change),) = delta_tiles(source, "m", spec())
    edited = edit_weight(weight, source, "m", spec())
    wide = kept.to(torch.promote_types(dtype, torch.float32)) + change
    assert torch.equal(edited, wide.to(dtype)) and torch.equal(weight, kept)
    assert edit_weight(weight, source, "m", spec(), out=weight) is not None
    assert torch.equal(weight, edited)


def test_a_parameter_inside_and_outside_of_inference_mode_gives_the_same() -> None:
    shape = 9, 7
    source = Given([drawn(0, 2, shape)], drawn(1, 2, shape))
    weight = torch.nn.Parameter(drawn(2, 3, shape).dense())
    outside = edit_weight(weight, source, "m", spec())
    with torch.inference_mode():
        inside = edit_weight(weight, source, "m", spec())
    assert torch.equal(outside, inside)
    assert not outside.requires_grad and not outside.is_inference()
    version = weight._version
    edit_weight(weight, source, "m", spec(), out=weight)
    assert weight._version > version and weight.requires_grad


@pytest.mark.parametrize("combine", ["mean", "ties"])
def test_the_bits_do_not_depend_on_the_number_of_threads(combine, monkeypatch) -> None:
    monkeypatch.setattr(tiles_schedule, "ENTRIES", 1 << 12)
    shape = 333, 130
    more = {"combine": "ties", "density": 0.3} if combine == "ties" else {}
    ties = combine == "ties"
    source = Given([drawn(0, 16, shape), drawn(3, 5, shape)][: 1 + ties], drawn(1, 16, shape))
    weight = drawn(2, 3, shape).dense().bfloat16()
    edit = spec("both", [1.0] * (1 + ties), **more)
    before, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            blocks = [block.clone() for _, block in delta_tiles(source, "m", edit)]
            found.append((edit_weight(weight, source, "m", edit), torch.cat(blocks)))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(before)
    for edited, delta in found[1:]:
        assert torch.equal(edited, found[0][0]) and torch.equal(delta, found[0][1])


def test_the_cuts_do_not_depend_on_the_tiles(monkeypatch) -> None:
    shape = 200, 90
    source = Given([drawn(0, 16, shape)], drawn(1, 16, shape))
    whole = torch.cat([block.clone() for _, block in delta_tiles(source, "m", spec())])
    monkeypatch.setattr(tiles_schedule, "ENTRIES", 1 << 11)
    small = [(rows, block.clone()) for rows, block in delta_tiles(source, "m", spec())]
    assert [rows.start for rows, _ in small] == sorted({rows.start for rows, _ in small})
    assert torch.equal(torch.cat([block for _, block in small]) == 0, whole == 0)


def test_an_exact_cancellation_is_no_conflict() -> None:
    # a is 0.1 * 3 - 0.3 * 1 in exact arithmetic of these float32 numbers plus nothing: built so
    # that the anchor is zero, though no row or column of its factors is.
    b, a = torch.tensor([[0.1, 0.3]]), torch.tensor([[0.3], [-0.1]])
    f = LowRank(torch.ones(1, 1), -torch.ones(1, 1), 1.0)
    for sign in (1.0, -1.0):
        anchor = LowRank(b * sign, a, 1.0)
        ((_, delta),) = delta_tiles(Given([f], anchor), "m", spec("direction"))
        assert delta.tolist() == [[-1.0]]


def test_nearly_equal_sizes_are_told_apart_as_in_float64() -> None:
    shape = 64, 64
    a = drawn(1, 16, shape)
    # f is -(1 + 1e-9) a, then -(1 - 1e-9) a: float32 products cannot see the difference.
    for more, share in ((1e-9, 0.0), (-1e-9, 1.0)):
        f = LowRank(a.b.double() * (1 + more), a.a, -0.7)
        edit = spec("both", [1 / (f.norm() / (a.norm() + EPS))])
        ((_, delta),) = delta_tiles(Given([f], a), "m", edit)
        assert float((delta != 0).double().mean()) == pytest.approx(share, abs=0.01)


def test_a_module_that_one_branch_lacks_counts_as_zero_there() -> None:
    shape = 6, 5
    f, a = drawn(0, 2, shape), drawn(1, 2, shape)
    ((_, both),) = delta_tiles(Given([f, None], a), "m", spec("none", [1.0, 1.0]))
    torch.testing.assert_close(both.double(), dense(f) / 2, rtol=1e-6, atol=1e-9)


def test_branches_are_weighted_and_added() -> None:
    shape = 6, 5
    x, y = drawn(0, 2, shape), drawn(1, 4, shape)
    edit = spec("none", [0.0, 0.0], combine="sum", weights=[1.0, -2.5])
    ((_, delta),) = delta_tiles(Given([x, y]), "m", edit)
    torch.testing.assert_close(delta.double(), dense(x) - 2.5 * dense(y), rtol=1e-5, atol=1e-8)


def test_tiny_and_huge_adapters_are_edited_like_others() -> None:
    shape = 30, 20
    plain = None
    for power in (0, -55, 55):
        f, a = drawn(0, 4, shape), drawn(1, 4, shape)
        f = LowRank(f.b * 2.0**power, f.a * 2.0**power, f.scale)
        a = LowRank(a.b * 2.0 ** -(power // 2), a.a, a.scale)
        edit = spec("both", [0.8]).model_copy(update={"eps": 1e-300})
        ((_, delta),) = delta_tiles(Given([f], a), "m", edit)
        scaled = torch.ldexp(delta.double(), torch.tensor(-2 * power))
        plain = scaled if plain is None else plain
        assert torch.equal(scaled == 0, plain == 0) and 0 < int((plain == 0).sum()) < 600


def test_an_overflow_is_refused_by_name() -> None:
    f = LowRank(torch.ones(2, 1), torch.full((1, 2), 60000.0), 1.0)
    weight = torch.full((2, 2), 60000.0).half()
    with pytest.raises(InputError, match=r"^m: the edited weight is not finite in torch.float16$"):
        edit_weight(weight, Given([f]), "m", spec("none"))
    huge = LowRank(torch.full((2, 1), 1e30), torch.full((1, 2), 1e30), 1.0)
    with pytest.raises(InputError, match=r"^m: the change of f0 is too large"):
        edit_weight(weight.float(), Given([huge]), "m", spec("none"))


def test_a_weight_that_does_not_fit_is_refused_by_name() -> None:
    source = Given([drawn(0, 2, (6, 5))])
    with pytest.raises(InputError, match=r"^m: shape \(5, 6\); the run was made for \(6, 5\)$"):
        edit_weight(torch.zeros(5, 6), source, "m", spec("none"))
    with pytest.raises(InputError, match=r"^x: the run does not change this module$"):
        edit_weight(torch.zeros(6, 5), source, "x", spec("none"))
    with pytest.raises(InputError, match=r"^x: the run does not change this module$"):
        next(delta_tiles(source, "x", spec("none")))
    with pytest.raises(ValueError, match="not as the weight"):
        edit_weight(torch.zeros(6, 5), source, "m", spec("none"), out=torch.zeros(6, 5).half())


def test_an_exception_in_one_tile_ends_all_and_is_raised(monkeypatch) -> None:
    monkeypatch.setattr(tiles_schedule, "ENTRIES", 1 << 6)
    done = []

    def work(rows: slice, space: Any) -> None:
        done.append(rows.start)
        if rows.start == 32:
            raise ZeroDivisionError

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError):
            tiles_schedule.each_tile(range(16000), 4, torch.device("cpu"), 1, work)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert len(done) < 900 and math.isfinite(sum(done))


def test_every_row_is_in_exactly_one_tile() -> None:
    seen: list[int] = []
    for rows in (range(1), range(16, 53), range(1000)):
        seen.clear()
        tiles_schedule.each_tile(
            rows, 3000, torch.device("cpu"), 1, lambda r, _: seen.extend(range(r.start, r.stop))
        )
        assert sorted(seen) == list(rows)
