from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from excise.records.errors import InputError
from excise.weights.sculpt import CRITERIA, conflict, mask, rho, sculpt

values = st.one_of(
    st.just(0.0), st.floats(-4, 4, width=32), st.floats(-4, 4, width=32).map(lambda x: x * 1e-30)
)
pairs = hnp.array_shapes(min_dims=2, max_dims=2, max_side=6).flatmap(
    lambda shape: st.tuples(*[hnp.arrays(np.float32, shape, elements=values)] * 2)
)


def reference(
    f: np.ndarray, a: np.ndarray, k: float, criterion: str
) -> tuple[np.ndarray, np.ndarray]:
    """The paper's equations, literally, in float64; with the entries too near to a tie to judge."""
    f, a = f.astype(np.float64), a.astype(np.float64)
    ratio = np.sqrt((f**2).sum()) / (np.sqrt((a**2).sum()) + 1e-8)
    c = (a * f < 0).astype(float)
    left, right = k * ratio * np.abs(a), np.abs(f)
    r = (left < right).astype(float)
    m = {"both": c * r, "direction": c, "magnitude": r, "none": 0 * c}[criterion]
    near = (np.abs(left - right) <= 1e-5 * right) & (right > 0)
    return f * (1 - m), near


@settings(max_examples=150, deadline=None)
@given(pairs, st.sampled_from([0.0, 0.25, 1.0, 5.0, 1e6]), st.sampled_from(CRITERIA))
def test_sculpting_follows_the_equations(pair, k, criterion) -> None:
    f, a = pair
    expected, near = reference(f, a, k, criterion)
    actual = sculpt(torch.from_numpy(f), torch.from_numpy(a), k=k, criterion=criterion).numpy()
    assert actual.dtype == np.float32
    np.testing.assert_array_equal(actual[~near], expected[~near].astype(np.float32))
    assert np.all((actual == 0) | (actual == f))


@settings(max_examples=50, deadline=None)
@given(pairs, st.floats(0, 20), st.floats(0, 20))
def test_a_larger_k_never_cuts_more(pair, k, other) -> None:
    f, a = map(torch.from_numpy, pair)
    low, high = sorted((k, other))
    assert not (mask(f, a, k=high) & ~mask(f, a, k=low)).any()


@settings(max_examples=50, deadline=None)
@given(pairs)
def test_k_zero_cuts_every_conflict(pair) -> None:
    f, a = map(torch.from_numpy, pair)
    assert torch.equal(mask(f, a, k=0), mask(f, a, k=0, criterion="direction"))


@settings(max_examples=50, deadline=None)
@given(pairs, st.floats(0, 20))
def test_the_paper_mask_is_where_both_halves_agree(pair, k) -> None:
    f, a = map(torch.from_numpy, pair)
    halves = [mask(f, a, k=k, criterion=name) for name in ("direction", "magnitude")]
    assert torch.equal(mask(f, a, k=k), halves[0] & halves[1])


def test_a_worked_example() -> None:
    f, a = torch.tensor([[3.0, -1.0, 2.0, 0.0]]), torch.tensor([[-1.0, 3.0, 2.0, -0.5]])
    # rho is about .98: |3| > .98 * 1 in conflict, |-1| < .98 * 3 in conflict, 2 and 2 agree.
    assert sculpt(f, a, k=1.0).tolist() == [[0.0, -1.0, 2.0, 0.0]]
    assert sculpt(f, a, k=4.0).tolist() == f.tolist()
    assert rho(3.0, 2.0, eps=1.0) == 1.0


def test_conflicts_between_tiny_changes_are_seen() -> None:
    assert conflict(torch.tensor([1e-30]), torch.tensor([-1e-30])).item()
    f, a = torch.tensor([[1e-25, 1e-25]]), torch.tensor([[-1e-25, 1e-28]])
    # With both squares gone the ratio would be 0, and everything would count as outweighed.
    assert mask(f, a, k=10, criterion="magnitude", eps=1e-60).tolist() == [[False, True]]


def test_half_precision_changes_are_compared_in_float32() -> None:
    f, a = torch.tensor([[2048.0]]).half(), torch.tensor([[-1.0]]).half()
    # In float16 the 2047.6 would round up to 2048 and no longer be smaller.
    assert mask(f, a, k=2047.6, norms=(1.0, 1.0)).item()


def test_a_huge_k_and_an_anchor_of_zeros_stay_numbers() -> None:
    f, zeros = torch.ones(2, 2), torch.zeros(2, 2)
    assert torch.equal(sculpt(f, zeros, k=1e300), f)
    assert mask(f, zeros, k=1e300, criterion="magnitude").all()


@pytest.mark.parametrize("k", [-1.0, -1e-9, float("nan"), float("inf"), True, "2"])
def test_a_dial_that_is_no_number_from_zero_up_is_refused(k) -> None:
    with pytest.raises(InputError, match=r"^k: "):
        sculpt(torch.ones(1, 1), torch.ones(1, 1), k=k)


def test_wrong_shapes_and_criteria_are_refused() -> None:
    with pytest.raises(ValueError, match="different shapes"):
        sculpt(torch.ones(1, 2), torch.ones(2, 1), k=1)
    with pytest.raises(InputError, match="criterion: 'all'"):
        sculpt(torch.ones(1, 1), torch.ones(1, 1), k=1, criterion="all")  # type: ignore[arg-type]


def test_the_inputs_are_left_alone() -> None:
    f, a = torch.tensor([[3.0, -1.0]]), torch.tensor([[-1.0, 3.0]])
    copies = f.clone(), a.clone()
    sculpt(f, a, k=1)
    assert torch.equal(f, copies[0]) and torch.equal(a, copies[1])
