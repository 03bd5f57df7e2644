from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft.utils import merge_utils
from tests.weights.factored import Given, drawn, spec
from torch import Tensor

from excise.records.errors import InputError
from excise.weights import tiles_schedule
from excise.weights.delta import LowRank
from excise.weights.edit import EditSpec
from excise.weights.edits import ties, total, trim
from excise.weights.tiles import delta_tiles, edit_weight

SHAPE = 37, 23


def whole(source: Given, edit: EditSpec) -> Tensor:
    return torch.cat([block.clone() for _, block in delta_tiles(source, "m", edit)])


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10_000),
    st.lists(st.floats(-2, 2, width=16), min_size=1, max_size=4),
    st.sampled_from([1.0, 0.7, 0.2, 0.01]),
)
def test_ties_is_that_of_peft(seed, weights, density) -> None:
    parts = [drawn(seed + i, 3, SHAPE) for i in range(len(weights))]
    edit = spec("none", [0.0] * len(parts), combine="ties", density=density, weights=weights)
    actual = whole(Given(parts), edit)
    tensors = [part.dense() for part in parts]
    with pytest.warns() if density == 1 else torch.no_grad():
        expected = merge_utils.ties(tensors, torch.tensor(weights), density)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-7)


def test_ties_keeps_exactly_the_share_asked_for_however_it_is_tiled(monkeypatch) -> None:
    source = Given([drawn(0, 3, SHAPE)])
    edit = spec("none", [0.0], combine="ties", density=0.25)
    delta = whole(source, edit)
    assert int((delta != 0).sum()) == int(0.25 * 37 * 23)
    monkeypatch.setattr(tiles_schedule, "ENTRIES", 64)
    assert torch.equal(whole(source, edit), delta)


def test_ties_works_on_sculpted_branches() -> None:
    x, y, anchor = drawn(0, 3, SHAPE), drawn(1, 5, SHAPE), drawn(2, 2, SHAPE)
    sculpted = [whole(Given([part], anchor), spec("both", [k])) for part, k in ((x, 0.5), (y, 2.0))]
    edit = spec("both", [0.5, 2.0], combine="ties", density=0.4, weights=[1.0, 0.5])
    expected = merge_utils.ties(sculpted, torch.tensor([1.0, 0.5]), 0.4)
    actual = whole(Given([x, y], anchor), edit)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-7)


def test_task_arithmetic_is_that_of_peft() -> None:
    parts = [drawn(0, 3, SHAPE), drawn(1, 4, SHAPE), drawn(2, 5, SHAPE)]
    weights = [1.0, -0.5, 0.25]
    edit = spec("none", [0.0] * 3, combine="sum", weights=weights)
    expected = merge_utils.task_arithmetic([p.dense() for p in parts], torch.tensor(weights))
    torch.testing.assert_close(whole(Given(parts), edit), expected, rtol=1e-5, atol=1e-7)


def test_an_adapter_can_be_taken_off_by_a_negative_weight() -> None:
    change = LowRank(torch.ones(2, 1), torch.ones(1, 2), 1.0)
    edit = spec("none", [0.0], combine="sum", weights=[-1.0])
    edited = edit_weight(torch.full((2, 2), 3.0).bfloat16(), Given([change]), "m", edit)
    assert edited.tolist() == [[2.0, 2.0], [2.0, 2.0]]


def test_the_functions_leave_their_tiles_alone() -> None:
    parts = [torch.tensor([[1.0, -2.0]]), torch.tensor([[-3.0, -1.0]])]
    copies = [part.clone() for part in parts]
    assert total(parts, [1.0, 1.0]).tolist() == [[-2.0, -3.0]]
    assert ties(parts, [1.0, 1.0]).tolist() == [[-3.0, -1.5]]
    assert trim(parts[0], 1.5).tolist() == [[0.0, -2.0]]
    assert all(torch.equal(*pair) for pair in zip(parts, copies, strict=True))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"combine": "mean", "density": 0.5}, "density"),
        ({"combine": "ties"}, "density"),
        ({"combine": "ties", "density": 0.0}, "density"),
        ({"combine": "ties", "density": 1.5}, "density"),
        ({"combine": "product"}, "combine"),
        ({"branches": [{"adapter": "f", "weight": 2.0}]}, "takes no weights"),
        ({"combine": "sum", "branches": [{"adapter": "f", "weight": float("inf")}]}, "weight"),
    ],
)
def test_a_wrong_combination_is_refused_in_one_line(changes, named) -> None:
    value = {"criterion": "none", "branches": [{"adapter": "f"}], **changes}
    with pytest.raises(InputError, match=named) as caught:
        EditSpec.parse(value, "edit.json")
    assert str(caught.value).startswith("edit.json: ") and "\n" not in str(caught.value)


def test_a_combination_is_written_and_read_and_the_mean_as_ever(tmp_path) -> None:
    edit = spec("none", [0.0, 0.0], combine="ties", density=0.2, weights=[1.0, 0.5])
    edit.write(tmp_path / "edit.json")
    assert EditSpec.read(tmp_path / "edit.json") == edit
    assert set(spec("both").as_json()) == {"schema", "criterion", "branches", "anchor", "eps"}
    assert set(spec("both").as_json()["branches"][0]) == {"adapter", "k"}
    assert edit.turned(k=3.0).density == 0.2 and edit.turned(k=3.0).branches[1].weight == 0.5
