"""Model Tailor's patch against Optimal Brain Surgeon done literally, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from excise.weights.tailor import BLOCK, DAMP, tailored


def drawn(rows: int, columns: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A change, and the Hessian of inputs that depend on each other, float64."""
    generator = torch.Generator().manual_seed(seed)
    change = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    mixing = torch.randn(columns, columns, generator=generator, dtype=torch.float64)
    inputs = torch.randn(4 * columns, columns, generator=generator, dtype=torch.float64) @ mixing
    return change, 2 * inputs.T @ inputs / len(inputs)


def surgeon(change: np.ndarray, hessian: np.ndarray, keep: float, mix: float) -> np.ndarray:
    """Column by column, with the inverse of what is left taken anew each time."""

    def standard(x: np.ndarray) -> np.ndarray:
        return (x - x.mean(1, keepdims=True)) / x.std(1, ddof=1, keepdims=True)

    hessian = hessian + DAMP * hessian.diagonal().mean() * np.eye(len(hessian))
    left, columns = change.copy(), change.shape[1]
    inverses = [np.linalg.inv(hessian[q:, q:]) for q in range(columns)]
    out = np.zeros_like(change)
    for first in range(0, columns, BLOCK):
        block = range(first, min(first + BLOCK, columns))
        cost = left[:, block] ** 2 / np.array([inverses[q][0, 0] for q in block])
        scores = mix * standard(np.abs(change[:, block])) + (1 - mix) * standard(cost)
        least = np.sort(scores.ravel())[::-1][int(keep * scores.size) - 1]
        for q in block:
            kept = scores[:, q - first] >= least
            out[:, q] = np.where(kept, left[:, q], 0)
            error = np.where(kept, 0, left[:, q]) / inverses[q][0, 0]
            left[:, q:] -= error[:, None] * inverses[q][0]
    return out


@pytest.mark.parametrize("columns", [20, BLOCK + 40])
@pytest.mark.parametrize(("keep", "mix"), [(0.1, 0.5), (0.5, 1.0), (0.3, 0.0)])
def test_it_is_optimal_brain_surgeon_column_by_column(
    columns: int, keep: float, mix: float
) -> None:
    change, hessian = drawn(12, columns)
    expected = surgeon(change.numpy(), hessian.numpy(), keep, mix)
    actual = tailored(change, hessian, keep=keep, mix=mix).numpy()
    np.testing.assert_array_equal(actual == 0, expected == 0)
    np.testing.assert_allclose(actual, expected, rtol=1e-8, atol=1e-10)


def test_the_last_kept_entry_makes_up_for_the_others_as_well_as_it_can() -> None:
    # One row of two: the first is reverted, and the second is the least squares answer.
    change = torch.tensor([[0.1, 5.0]], dtype=torch.float64)
    hessian = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
    damped = hessian + DAMP * 2.5 * torch.eye(2, dtype=torch.float64)
    actual = tailored(change, hessian, keep=0.5, mix=1.0)
    best = 5.0 + 0.1 * float(damped[0, 1] / damped[1, 1])
    assert actual[0, 0] == 0 and float(actual[0, 1]) == pytest.approx(best, rel=1e-12)


def test_compensation_lowers_the_error_of_the_outputs() -> None:
    change, hessian = drawn(12, 60, seed=3)

    def error(made: torch.Tensor) -> float:
        apart = made - change
        return float((apart @ hessian * apart).sum())

    made = tailored(change, hessian, keep=0.5)
    plain = torch.where(made != 0, change, 0.0)
    assert error(made) < 0.8 * error(plain)


def test_with_all_kept_the_change_stays_as_it_is() -> None:
    change, hessian = drawn(5, 150)
    assert torch.equal(tailored(change, hessian, keep=1.0), change)


def test_inputs_that_are_never_active_do_no_harm() -> None:
    change, hessian = drawn(6, 30)
    hessian[4], hessian[:, 4] = 0, 0
    made = tailored(change.float(), hessian.float(), keep=0.3)
    assert made.dtype == torch.float32 and bool(made.isfinite().all())
    assert int((made != 0).sum()) == int(0.3 * 180)
    equal = tailored(torch.ones(4, 3), torch.eye(3), keep=0.5)  # nothing to tell entries apart by
    assert int((equal != 0).sum()) == 6 and bool(equal.isfinite().all())
