from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from excise.records.errors import InputError
from excise.vlm import VLM, linear_targets, load
from excise.vlm.placement import Placement


@pytest.fixture
def folder(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "model"))


def refused(source: Path | str) -> str:
    with pytest.raises(InputError) as caught:
        load(source)
    message = str(caught.value)
    assert "\n" not in message
    assert str(source) in message
    return message


def test_a_checkpoint_loads_in_float32_and_evaluation_mode_on_a_cpu(tiny: VLM) -> None:
    assert tiny.dtype == torch.float32
    assert tiny.device.type == "cpu"
    assert not any(module.training for module in tiny.model.modules())
    assert tiny.name == "tiny-llava"


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert "not found" in refused(tmp_path / "nowhere")


def test_a_folder_without_config_is_refused(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert "config.json is missing" in refused(folder)


def test_a_broken_config_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    assert "config.json" in refused(folder)


def test_a_language_model_is_refused_as_no_vision_language_model(tmp_path: Path) -> None:
    config = Qwen2Config(
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        vocab_size=16,
    )
    Qwen2ForCausalLM(config).save_pretrained(tmp_path / "text")
    assert '"qwen2" is not a vision-language model' in refused(tmp_path / "text")


def test_a_folder_without_processor_is_refused(folder: Path) -> None:
    for name in ("processor_config.json", "preprocessor_config.json"):
        (folder / name).unlink(missing_ok=True)
    assert "processor" in refused(folder)


def test_a_folder_without_tokenizer_is_refused(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()
    assert "processor" in refused(folder)


def test_a_processor_without_chat_template_is_refused(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    assert "without chat template" in refused(folder)


def test_missing_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "weights cannot be read" in refused(folder)


@pytest.mark.parametrize("keep", [0.5, 0.999, 0.0001])
def test_truncated_weights_are_refused(folder: Path, keep: float) -> None:
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    assert "weights cannot be read" in refused(folder)


def test_weights_that_are_not_all_there_are_refused_instead_of_made_up(folder: Path) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    dropped = next(name for name in weights if "layers.1" in name and "q_proj.weight" in name)
    del weights[dropped]
    save_file(weights, path, metadata={"format": "pt"})
    assert "1 weights missing" in refused(folder)


def test_an_unknown_dtype_is_refused(checkpoint: Path) -> None:
    with pytest.raises(InputError, match='unknown dtype "int4"'):
        load(checkpoint, dtype="int4")


def test_the_weights_hash_does_not_depend_on_sharding_but_on_every_weight(
    tiny: VLM, folder: Path, tmp_path: Path
) -> None:
    whole = load(folder).weights_hash
    assert whole == tiny.weights_hash

    sharded = tmp_path / "sharded"
    load(folder).model.save_pretrained(sharded, max_shard_size="20KB")
    for path in folder.iterdir():
        if "safetensors" not in path.name and not (sharded / path.name).exists():
            shutil.copy(path, sharded)
    index = json.loads((sharded / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 1
    assert load(sharded).weights_hash == whole

    weights = load_file(folder / "model.safetensors")
    name = sorted(weights)[-1]
    weights[name].view(-1)[0] += 1e-3
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert load(folder).weights_hash != whole


def test_a_device_map_puts_every_weight_where_it_says(checkpoint: Path) -> None:
    for given in ("auto", '{"": "cpu"}', {"model": "cpu", "lm_head": "cpu"}):
        vlm = load(checkpoint, device_map=given)
        assert {p.device.type for p in vlm.model.parameters()} <= {"cpu", "cuda"}
        assert vlm.device.type in ("cpu", "cuda")


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"device": "cpu", "device_map": "auto"}, "exclude each other"),
        ({"device_map": "everywhere"}, 'unknown device map "everywhere"'),
        ({"device_map": "[1, 2]"}, "unknown device map"),
        ({"device_map": {"": "disk"}}, "expected a GPU's number"),
        ({"device_map": {"": "moon"}}, 'unknown device "moon"'),
        ({"quantize": "3bit"}, 'unknown quantisation "3bit"'),
        ({"chat_template": "nowhere.jinja"}, "nowhere.jinja: no such text file"),
        ({"max_image_tokens": 0}, "max_image_tokens is 0"),
    ],
)
def test_a_wrong_option_is_refused_in_one_line(
    checkpoint: Path, given: dict[str, Any], wrong: str
) -> None:
    with pytest.raises(InputError) as caught:
        load(checkpoint, **given)
    assert wrong in str(caught.value) and "\n" not in str(caught.value)


def test_4_bits_without_bitsandbytes_say_what_to_install(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("excise.vlm.placement.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install bitsandbytes"):
        load(checkpoint, quantize="4bit")


def test_4_bits_are_for_the_language_model_alone_and_no_run_goes_onto_them(
    checkpoint: Path,
) -> None:
    pytest.importorskip("bitsandbytes")
    from excise.weights.inplace import targets

    vlm = load(checkpoint, quantize="4bit", device="cpu")
    inside = vlm.parts.language_model + "."
    for name, module in vlm.model.named_modules():
        if isinstance(module, torch.nn.Linear):
            assert module.weight.is_floating_point() != name.startswith(inside), name
    name = linear_targets(vlm.model, vlm.parts)[0]
    with pytest.raises(InputError, match="no run can be applied; load the model without"):
        targets(vlm.model, {name: (32, 32)})


def test_4_bit_settings_leave_tower_projector_and_head_alone(checkpoint: Path) -> None:
    config = AutoConfig.from_pretrained(checkpoint)
    given = Placement("auto", torch.device("cpu"), None, "4bit").arguments(config, {})
    left = given["quantization_config"].llm_int8_skip_modules
    assert given["device_map"] == {"": "cpu"}
    assert "lm_head" in left and any("vision_tower" in name for name in left)
    assert any("multi_modal_projector" in name for name in left)
    assert not any("language_model" in name for name in left)


def test_a_chat_template_of_ones_own_is_used(folder: Path, tmp_path: Path) -> None:
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    (tmp_path / "own.jinja").write_text(template)
    vlm = load(folder, device="cpu", chat_template=tmp_path / "own.jinja")
    assert vlm.processor.chat_template == template


def test_running_out_of_memory_while_loading_says_what_the_weights_take(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def huge(*_: object, **__: object) -> None:
        torch.empty(1 << 55)

    monkeypatch.setattr(AutoModelForImageTextToText, "from_pretrained", huge)
    message = refused(checkpoint)
    assert "out of memory while loading" in message
    assert "--dtype bfloat16" in message and "--quantize 4bit" in message
    assert message.count("MiB") == 3
