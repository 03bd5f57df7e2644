"""The most salient entries of a whole model, against sorting them all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from tests.weights.factored import drawn, spec

from excise.records.errors import InputError
from excise.weights import tiles_schedule
from excise.weights.budget import select, within
from excise.weights.products import Products
from excise.weights.sparse import Sparse

SHAPES = {"a": (40, 30), "b": (7, 90), "c": (25, 25)}


class Several:
    """A source of three modules, whose changes differ in size."""

    def __init__(self) -> None:
        sizes = {"a": 0.1, "b": 0.2, "c": 0.02}
        self.shapes: Mapping[str, tuple[int, int]] = SHAPES
        self.held = {m: drawn(i, 3, SHAPES[m], sizes[m]) for i, m in enumerate(SHAPES)}

    def products(self, module: str, device: Any = "cpu") -> Products:
        delta = self.held[module]
        return Products((delta,), (delta.norm(),), None, 0.0)


class Given(Several):
    """The same with dense changes of the caller's."""

    def __init__(self, dense: Mapping[str, torch.Tensor]) -> None:
        self.shapes = {m: (d.shape[0], d.shape[1]) for m, d in dense.items()}
        self.held = {m: Sparse.of(d) for m, d in dense.items()}  # type: ignore[assignment]


def changes(source: Several) -> dict[str, np.ndarray]:
    return {m: source.held[m].dense().numpy() for m in source.shapes}


@pytest.mark.parametrize("share", [0.01, 0.2, 0.999, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_they_are_the_largest_of_all_matrices_together(
    share: float, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles_schedule, "ENTRIES", 1 << 6)
    source, generator = Several(), torch.Generator().manual_seed(9)
    gradients = {m: torch.randn(shape, generator=generator) for m, shape in SHAPES.items()}
    chosen = select(
        source, spec("none"), share, gradient=gradients.__getitem__ if weighted else None
    )
    salient = {
        m: np.abs(change * (gradients[m].numpy() if weighted else 1)).ravel()
        for m, change in changes(source).items()
    }
    entries = sum(len(values) for values in salient.values())
    assert sum(len(index) for index in chosen.values()) == int(share * entries)
    inside = np.concatenate([salient[m][index.numpy()] for m, index in chosen.items()])
    ordered = np.sort(np.concatenate([*salient.values()]))[::-1]
    np.testing.assert_allclose(np.sort(inside)[::-1], ordered[: int(share * entries)], rtol=1e-6)
    for index in chosen.values():
        assert index.dtype == torch.int32 and bool((index[1:] > index[:-1]).all())


def test_a_larger_matrix_of_changes_gets_more_of_the_budget() -> None:
    chosen = select(Several(), spec("none"), 0.05)
    assert len(chosen["b"]) > 60 and "c" not in chosen


def test_of_equals_the_first_are_taken_and_no_more_than_the_budget() -> None:
    dense = {m: torch.full((4, 5), 2.0) for m in ("a", "b")}
    dense["b"][0, 0] = 3.0
    chosen = select(Given(dense), spec("none"), 0.25)  # ten of forty
    assert {m: index.tolist() for m, index in chosen.items()} == {"a": [*range(9)], "b": [0]}


def test_entries_that_are_not_changed_are_never_chosen() -> None:
    dense = {"a": torch.zeros(4, 5)}
    dense["a"][1, 2], dense["a"][3, 3] = 1e-40, -1.0
    assert select(Given(dense), spec("none"), 1.0)["a"].tolist() == [7, 18]
    with pytest.raises(InputError, match="every saliency is zero"):
        select(Several(), spec("none"), 0.5, gradient=lambda m: torch.zeros(SHAPES[m]))


def test_the_change_within_the_budget_is_the_edits_own() -> None:
    source = Several()
    chosen = select(source, spec("none", combine="sum", weights=[-0.5]), 0.1)
    cut = within(source, spec("none", combine="sum", weights=[-0.5]), chosen)
    for module, change in cut.items():
        expected = -0.5 * changes(source)[module]
        outside = np.ones(expected.size, bool)
        outside[chosen[module].numpy()] = False
        expected.ravel()[outside] = 0
        np.testing.assert_allclose(change.dense().numpy(), expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, float("nan"), 1e-9])
def test_a_share_of_nothing_or_more_than_all_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="^budget"):
        select(Several(), spec("none"), share)


def test_a_gradient_that_does_not_fit_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"^a: gradient \(2, 2\)"):
        select(Several(), spec("none"), 0.1, gradient=lambda m: torch.zeros(2, 2))
    with pytest.raises(InputError, match="^a: a saliency is not finite"):
        select(Several(), spec("none"), 0.1, gradient=lambda m: torch.full(SHAPES[m], torch.nan))
