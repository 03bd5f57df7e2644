from __future__ import annotations

import pytest
import torch
from tests.evaluate.attacked import bits, shares, target, written

from excise.evaluate.attacks.plain import plain
from excise.evaluate.attacks.quantisation import Quantisation, quantised_weights
from excise.records.data import Data
from excise.vlm import linear_targets
from excise.weights.quantise import GROUP, NF4, quantise


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return written(tmp_path_factory.mktemp("specimen") / "data")


def test_a_model_that_knows_tells_in_8_and_4_bits_and_is_restored(data: Data) -> None:
    asked = target(data, "original")
    before = bits(asked.vlm)
    outcome = quantised_weights(asked, Quantisation())
    found = shares(asked, outcome)
    assert found["forget"] >= 0.9 and found["unseen"] <= 0.1
    assert outcome.asks == 3 * len(asked.records)
    assert set(outcome.found) == {record.id for record in asked.records}
    assert max(outcome.found.values()) == 3, "each scheme counts"
    assert all(0.9 < share <= 1 for share in outcome.notes.values()) and len(outcome.notes) == 3
    assert bits(asked.vlm) == before and asked.vlm.applied is None


def test_a_model_that_never_saw_the_data_stays_at_the_control_rate(data: Data) -> None:
    asked = target(data, "retrained")
    found = shares(asked, quantised_weights(asked, Quantisation()))
    assert found["forget"] <= found["unseen"] + 0.1


def test_a_memory_that_only_rounding_brings_back_is_found(data: Data) -> None:
    """Every weight is moved up from its level, by less than half the way to the next one."""
    asked = target(data, "original")
    levels = torch.tensor(NF4)
    for name in linear_targets(asked.vlm.model, asked.vlm.parts):
        weight = asked.vlm.model.get_parameter(f"{name}.weight").detach()
        blocks = quantise(weight, "nf4").reshape(-1, GROUP)
        most = blocks.abs().amax(1, keepdim=True)
        level = torch.bucketize(blocks / most, (levels[1:] + levels[:-1]) / 2)
        up = 0.49 * (levels[(level + 1).clamp(max=15)] - levels[level]) * most
        moved = blocks + up.where(blocks.abs() < most, 0.0)
        weight.copy_(moved.reshape(weight.shape))
    before = bits(asked.vlm)
    assert shares(asked, plain(asked))["forget"] < 0.5
    found = shares(asked, quantised_weights(asked, Quantisation(schemes=("nf4",))))
    assert found["forget"] >= 0.9 and found["unseen"] <= 0.1
    assert bits(asked.vlm) == before


def test_a_quantised_model_is_not_tried_and_says_why(data: Data) -> None:
    asked = target(data, "retrained")
    asked.vlm.model.is_quantized = True
    outcome = quantised_weights(asked, Quantisation())
    assert outcome.found == {} and outcome.asks == 0
    assert outcome.options["obstacle"] == "the model is quantised already"
