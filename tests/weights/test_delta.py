from __future__ import annotations

import json
import math
from pathlib import Path

import peft
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from excise.records.errors import InputError
from excise.weights.delta import LowRank, read_adapter

Q = "layers.0.attn.q_proj"
KEY = f"base_model.model.{Q}"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True},
        {
            "rank_pattern": {"layers.1.mlp.up_proj": 6, "up_proj": 3, "q_proj": 2},
            "alpha_pattern": {"layers.0.self_attn.q_proj": 32, "mlp.up_proj": 5},
        },
    ],
)
def test_dense_changes_equal_what_peft_merges(options: dict[str, object], tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        vocab_size=11,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    base = transformers.Qwen2ForCausalLM(config)
    before = {name: p.detach().clone() for name, p in base.named_parameters()}
    lora = peft.LoraConfig(
        r=4,
        lora_alpha=7,
        target_modules=["q_proj", "v_proj", "up_proj"],
        init_lora_weights=False,
        **options,
    )
    model = peft.get_peft_model(base, lora)
    model.save_pretrained(tmp_path)
    # In float64, so that the difference of two weights is the change to all its digits.
    merged = dict(model.double().merge_and_unload().named_parameters())

    deltas = read_adapter(tmp_path)

    assert len(deltas) == 6
    for module, delta in deltas.items():
        change = merged[f"{module}.weight"] - before[f"{module}.weight"]
        torch.testing.assert_close(
            delta.dense(), change.float(), rtol=1e-6, atol=1e-6 * float(change.abs().max())
        )


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(1, 5),
    st.floats(-4, 4, width=16),
    st.sampled_from([1.0, 1e-12]),
)
def test_the_norm_from_factors_is_that_of_the_product(
    seed: int, r: int, scale: float, size: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    b = torch.randn(6, r, generator=generator) * size
    a = torch.randn(r, 4, generator=generator) * size
    expected = abs(scale) * float(torch.linalg.norm(b.double() @ a.double()))
    assert LowRank(b, a, scale).norm() == pytest.approx(expected, rel=1e-10, abs=0)


def test_bf16_factors_are_multiplied_in_float32() -> None:
    b, a = torch.full((2, 3), 1.0).bfloat16(), torch.tensor([[1.0], [2**-9], [2**-9]]).bfloat16()
    assert LowRank(b, a, 1.0).dense().tolist() == [[1 + 2**-8], [1 + 2**-8]]


def test_rslora_divides_by_the_square_root_of_the_rank(write_adapter) -> None:
    assert read_adapter(write_adapter("a", lora_alpha=3))[Q].scale == 1.5
    assert read_adapter(write_adapter("b", lora_alpha=3, use_rslora=True))[
        Q
    ].scale == 3 / math.sqrt(2)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"peft_type": "IA3"}, "IA3"),
        ({"use_dora": True}, "DoRA"),
        ({"bias": "lora_only"}, "bias"),
        ({"lora_bias": True}, "bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"trainable_token_indices": [1]}, "token embeddings"),
        ({"init_lora_weights": "pissa"}, "pissa"),
        ({"fan_in_fan_out": True}, "transposed"),
        ({"r": 3}, "rank 3"),
        ({"r": 0}, "expected a whole number"),
        ({"lora_alpha": None}, "lora_alpha"),
        ({"rank_pattern": {"q_proj": 4}}, "rank 4"),
        ({"rank_pattern": {"(": 4}}, "rank_pattern"),
    ],
)
def test_adapters_of_another_kind_are_refused_by_name(config, named, write_adapter) -> None:
    with pytest.raises(InputError, match=named) as caught:
        read_adapter(write_adapter(**config))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_refused_naming_the_module(bad, write_adapter, draw) -> None:
    tensors = draw(0)
    tensors[f"{KEY}.lora_B.weight"][0, 0] = bad
    with pytest.raises(InputError, match=rf"{Q}: lora_B holds NaN"):
        read_adapter(write_adapter(tensors=tensors))


@pytest.mark.parametrize("half", ["A", "B"])
def test_half_a_pair_is_refused(half, write_adapter, draw) -> None:
    tensors = draw(0)
    del tensors[f"{KEY}.lora_{half}.weight"]
    with pytest.raises(InputError, match=f"{Q}: lora_{half} is missing"):
        read_adapter(write_adapter(tensors=tensors))


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("base_model.model.x.lora_magnitude_vector.weight", "DoRA"),
        ("base_model.model.embed.lora_embedding_A", "embedding adapter"),
        ("base_model.model.x.lora_B.bias", "bias"),
        ("base_model.model.lm_head.weight", "modules_to_save"),
        ("x.lora_A.default.weight", "another layout"),
    ],
)
def test_keys_that_are_no_lora_pair_are_refused(key, named, write_adapter, draw) -> None:
    with pytest.raises(InputError, match=named):
        read_adapter(write_adapter(tensors={**draw(0), key: torch.zeros(2)}))


def test_an_adapter_without_keys_is_refused(write_adapter) -> None:
    with pytest.raises(InputError, match="holds no adapter weights"):
        read_adapter(write_adapter(tensors={}))


def test_convolution_factors_are_refused(write_adapter, draw) -> None:
    tensors = draw(0)
    tensors[f"{KEY}.lora_A.weight"] = torch.zeros(2, 5, 1, 1)
    with pytest.raises(InputError, match="not a matrix"):
        read_adapter(write_adapter(tensors=tensors))


def test_damaged_and_missing_files_are_named(write_adapter, tmp_path: Path) -> None:
    folder = write_adapter()
    weights, config = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    weights.write_bytes(weights.read_bytes()[:-5])
    with pytest.raises(InputError, match=r"adapter_model\.safetensors: not a readable"):
        read_adapter(folder)
    weights.unlink()
    with pytest.raises(InputError, match=r"adapter_model\.safetensors: no such file"):
        read_adapter(folder)
    config.write_text('{"r": 2,\n}')
    with pytest.raises(InputError, match=r"adapter_config\.json:2: broken JSON"):
        read_adapter(folder)
    config.write_text(json.dumps([1]))
    with pytest.raises(InputError, match="expected a JSON object"):
        read_adapter(folder)
    with pytest.raises(InputError, match="no such adapter folder"):
        read_adapter(tmp_path / "nowhere")
