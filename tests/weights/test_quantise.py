"""The quantiser against plain numpy, and a model that goes through it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from excise.records.errors import InputError
from excise.vlm import VLM, linear_targets
from excise.weights import quantised as module
from excise.weights.quantise import NF4, SCHEMES, Scheme, quantise
from excise.weights.quantised import quantised, quantising_obstacle


def weights(rows: int, columns: int) -> torch.Tensor:
    drawn = np.random.default_rng(0).normal(0, 0.02, (rows, columns)).astype(np.float32)
    drawn[1] = 0.0
    drawn[2, :3] = 1.0, -1.0, 0.5
    return torch.from_numpy(drawn)


def rounded_to_integers(values: np.ndarray, bits: int) -> np.ndarray:
    """As torchao's `choose_qparams_affine`, `quantize_affine`, `dequantize_affine`, symmetric."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    scale = np.float32(np.abs(values).max() / np.float32((high - low) / 2))
    scale = max(scale, np.finfo(np.float32).eps)
    levels = np.clip(np.rint(values * (np.float32(1) / scale)), low, high)
    return levels.astype(np.float32) * scale


def nearest_of_16(values: np.ndarray) -> np.ndarray:
    """As bitsandbytes' `quantize_4bit` and `dequantize_4bit`."""
    most = np.abs(values).max()
    if most == 0:
        return values
    scaled = values * (np.float32(1) / most)
    code = np.array(NF4, np.float32)
    return code[np.abs(scaled[:, None] - code).argmin(1)] * most


def test_int8_rounds_each_output_channel_to_its_own_scale() -> None:
    weight = weights(5, 96)
    expected = np.stack([rounded_to_integers(row, 8) for row in weight.numpy()])
    np.testing.assert_array_equal(quantise(weight, "int8").numpy(), expected)


@pytest.mark.parametrize("columns", [128, 96, 40])
def test_int4_rounds_64_neighbours_of_a_row_and_what_is_left_of_it(columns: int) -> None:
    weight = weights(5, columns)
    expected = [
        np.concatenate([rounded_to_integers(row[at : at + 64], 4) for at in range(0, columns, 64)])
        for row in weight.numpy()
    ]
    np.testing.assert_array_equal(quantise(weight, "int4").numpy(), np.stack(expected))


@pytest.mark.parametrize("columns", [128, 96])
def test_nf4_takes_the_nearest_level_in_blocks_of_64_in_storage_order(columns: int) -> None:
    weight = weights(5, columns)
    flat = weight.numpy().reshape(-1)
    blocks = [nearest_of_16(flat[at : at + 64]) for at in range(0, flat.size, 64)]
    expected = np.concatenate(blocks).reshape(weight.shape)
    np.testing.assert_array_equal(quantise(weight, "nf4").numpy(), expected)


@pytest.mark.parametrize(("scheme", "levels"), [("int8", 256), ("int4", 16), ("nf4", 16)])
def test_a_group_has_no_more_levels_than_its_bits(scheme: Scheme, levels: int) -> None:
    back = quantise(weights(4, 64)[2:3].repeat(1, 1), scheme)
    assert 1 < back.unique().numel() <= levels


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_result_has_the_weights_type_and_rounds_float32_arithmetic(scheme: Scheme) -> None:
    weight = weights(4, 96).to(torch.bfloat16)
    back = quantise(weight, scheme)
    assert back.dtype == torch.bfloat16
    assert torch.equal(back, quantise(weight.float(), scheme).to(torch.bfloat16))


def bits(vlm: VLM) -> dict[str, bytes]:
    return {n: t.contiguous().numpy().tobytes() for n, t in vlm.model.state_dict().items()}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_exactly_the_language_models_linear_layers_are_quantised_and_restored(
    tiny: VLM, scheme: Scheme
) -> None:
    before, applied = bits(tiny), tiny.applied
    wanted = {f"{name}.weight" for name in linear_targets(tiny.model, tiny.parts)}
    state = {name: tensor.clone() for name, tensor in tiny.model.state_dict().items()}
    with quantised(tiny, scheme) as share:
        inside = tiny.model.state_dict()
        assert {name for name in inside if not torch.equal(inside[name], state[name])} == wanted
        assert all(torch.equal(inside[n], quantise(state[n], scheme)) for n in wanted)
        assert 0.9 < share <= 1
    assert bits(tiny) == before and tiny.applied == applied


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_inside_restores_every_bit(tiny: VLM, error: type[BaseException]) -> None:
    before = bits(tiny)
    with pytest.raises(error), quantised(tiny, "int4"):
        raise error
    assert bits(tiny) == before


def test_an_exception_half_way_restores_every_bit(
    tiny: VLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, done = bits(tiny), []

    def failing(weight: torch.Tensor, scheme: Scheme, group: int) -> torch.Tensor:
        done.append(scheme)
        if len(done) == 3:
            raise RuntimeError
        return quantise(weight, scheme, group)

    monkeypatch.setattr(module, "quantise", failing)
    with pytest.raises(RuntimeError), quantised(tiny, "nf4"):
        pass
    assert bits(tiny) == before


def test_a_model_that_is_quantised_or_not_in_memory_is_refused(tiny: VLM) -> None:
    assert quantising_obstacle(tiny) is None
    tiny.model.is_quantized = True
    assert quantising_obstacle(tiny) == "the model is quantised already"
    tiny.model.is_quantized = False
    layer = tiny.model.get_submodule(linear_targets(tiny.model, tiny.parts)[0])
    layer.weight = torch.nn.Parameter(layer.weight.data.to(torch.int8), requires_grad=False)
    assert quantising_obstacle(tiny) == "the model is quantised already"
    with pytest.raises(InputError, match="quantised"), quantised(tiny, "int8"):
        pass
    layer.weight = torch.nn.Parameter(layer.weight.data.to("meta"), requires_grad=False)
    layer.weight = torch.nn.Parameter(layer.weight.float(), requires_grad=False)
    assert "not in memory" in str(quantising_obstacle(tiny))
