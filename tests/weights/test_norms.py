from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from excise.weights.delta import LowRank
from excise.weights.norms import factor_norm


def drawn(seed: int, rank: int, size: float, shape: tuple[int, int] = (6, 4)) -> LowRank:
    generator = torch.Generator().manual_seed(seed)
    b = torch.randn(shape[0], rank, generator=generator, dtype=torch.float64)
    a = torch.randn(rank, shape[1], generator=generator, dtype=torch.float64)
    return LowRank((b * size).float(), (a * size).float(), -0.75)


def dense(delta: LowRank) -> torch.Tensor:
    return delta.scale * (delta.b.double() @ delta.a.double())


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(1, 9),
    st.sampled_from([1.0, 1e-12, 1e-40, 1e30]),
)
def test_norms_from_factors_are_those_of_the_dense_product(seed, rank, size) -> None:
    delta = drawn(seed, rank, size)
    assert factor_norm(delta) == pytest.approx(float(dense(delta).norm()), rel=1e-10, abs=0)


def test_the_smallest_numbers_of_float32_still_have_a_norm() -> None:
    tiny = LowRank(torch.full((2, 1), 2.0**-149), torch.full((1, 2), 2.0**-149), 1.0)
    assert factor_norm(tiny) == 2 * 2.0**-298


def test_a_change_of_zeros_has_norm_zero() -> None:
    assert factor_norm(LowRank(torch.zeros(3, 2), torch.ones(2, 3), 5.0)) == 0.0
    assert math.isfinite(factor_norm(LowRank(torch.zeros(3, 2), torch.zeros(2, 3), 1.0)))
