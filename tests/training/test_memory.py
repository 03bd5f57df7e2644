"""Gradient checkpointing, precision of adapters, and what is said when memory runs out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from PIL import Image
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from transformers import PreTrainedModel

from excise.records.errors import InputError
from excise.training import FitSettings, answer_cross_entropy, fit
from excise.training.adapter import attached
from excise.training.advice import advice
from excise.training.recompute import recomputing
from excise.vlm import VLM, Packer, Row, Turn, linear_targets, load
from excise.vlm.memory import activations

SETTINGS = FitSettings(rank=4, alpha=8, dropout=0.1, lr=1e-2, steps=2, batch=2)


@pytest.fixture
def rows(pictures: list[Image.Image]) -> list[Row]:
    turns = (Turn("Who is this?", "Vera Lindqvist"), Turn("Where?", "In Riga, at the harbour."))
    return [Row(pictures[0], turns), Row(None, turns), Row(pictures[1], turns)]


def kept_bytes(vlm: VLM, batch: Mapping[str, Any], settings: FitSettings) -> int:
    """Bytes that the forward pass keeps for the backward pass, weights left out."""
    targets = linear_targets(vlm.model, vlm.parts)
    kept: dict[int, int] = {}
    with (
        attached(vlm.model, targets, settings) as adapter,
        recomputing(vlm.model, vlm.parts.language_model, settings.gradient_checkpointing),
    ):
        weights = {p.untyped_storage().data_ptr() for p in adapter.parameters()}

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        adapter.train()
        with saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = answer_cross_entropy(adapter, batch)  # type: ignore[arg-type]
        loss.backward()
    return sum(kept.values())


def test_gradient_checkpointing_has_the_same_gradients_and_ends_with_the_block(
    tiny: VLM, rows: list[Row]
) -> None:
    packer = Packer(tiny.processor, tiny.model)
    batch = packer.collate([packer.encode(row) for row in rows])
    targets = linear_targets(tiny.model, tiny.parts)
    found = []
    for on in (False, True):
        torch.manual_seed(0)
        with (
            attached(tiny.model, targets, SETTINGS) as adapter,
            recomputing(tiny.model, tiny.parts.language_model, on),
        ):
            assert tiny.model.is_activation_checkpointing == on
            for name, parameter in adapter.named_parameters():
                if "lora_B" in name:
                    torch.nn.init.normal_(parameter, std=0.1)
            adapter.train()
            torch.manual_seed(1)  # dropout
            loss = answer_cross_entropy(adapter, batch)  # type: ignore[arg-type]
            loss.backward()
            found.append([p.grad.clone() for p in adapter.parameters() if p.grad is not None])
    assert not tiny.model.is_activation_checkpointing
    assert len(found[0]) == len(found[1]) == 2 * len(targets)
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-7)


def test_a_fit_with_gradient_checkpointing_gives_the_same_adapter(
    tiny: VLM, rows: list[Row], tmp_path: Path
) -> None:
    plain = fit(tiny, rows, settings=SETTINGS, out=tmp_path / "a", seed=0)
    saving = SETTINGS.model_copy(update={"gradient_checkpointing": True})
    again = fit(tiny, rows, settings=saving, out=tmp_path / "b", seed=0)
    assert again.losses == pytest.approx(plain.losses, rel=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_estimate_of_activations_is_near_what_autograd_keeps(
    checkpoint: Path, rows: list[Row], dtype: str
) -> None:
    vlm = load(checkpoint, device="cpu", dtype=dtype)
    packer = Packer(vlm.processor, vlm.model)
    batch = packer.collate([packer.encode(row) for row in rows])
    tokens = batch["input_ids"].numel()
    each = activations(vlm.model, linear_targets(vlm.model, vlm.parts))
    plain = kept_bytes(vlm, batch, SETTINGS)
    saving = SETTINGS.model_copy(update={"gradient_checkpointing": True})
    assert plain / 2 < tokens * each.plain < plain * 2
    assert kept_bytes(vlm, batch, saving) < plain / 2


def test_an_adapter_on_a_bfloat16_base_is_float32_and_learns_small_steps(
    checkpoint: Path, rows: list[Row], tmp_path: Path
) -> None:
    vlm = load(checkpoint, device="cpu", dtype="bfloat16")
    with attached(vlm.model, linear_targets(vlm.model, vlm.parts), SETTINGS) as adapter:
        trained = [p for p in adapter.parameters() if p.requires_grad]
        assert trained and all(p.dtype == torch.float32 for p in trained)
        assert all(p.dtype == torch.bfloat16 for p in adapter.parameters() if p not in {*trained})
    small = SETTINGS.model_copy(update={"lr": 1e-6, "steps": 3})
    fit(vlm, rows, settings=small, out=tmp_path / "a", seed=0)
    adapted = PeftModel.from_pretrained(load(checkpoint, device="cpu").model, tmp_path / "a")
    moved = [p.abs().max().item() for n, p in adapted.named_parameters() if "lora_B" in n]
    assert all(0 < value < 1e-5 for value in moved)


def test_running_out_of_memory_says_what_helps_in_one_line_with_numbers(
    tiny: VLM, rows: list[Row], tmp_path: Path
) -> None:
    def greedy(model: PreTrainedModel, batch: Mapping[str, Tensor]) -> Tensor:
        return torch.empty(1 << 55).sum() + answer_cross_entropy(model, batch)

    before = {name: tensor.clone() for name, tensor in tiny.model.state_dict().items()}
    with pytest.raises(InputError) as caught:
        fit(tiny, rows, settings=SETTINGS, out=tmp_path / "a", seed=0, loss=greedy)
    message = str(caught.value)
    assert message.startswith("out of memory in training: 2 rows of up to ")
    for help_ in ("-o batch=1", "-o gradient_checkpointing=true saves", "--quantize 4bit saves"):
        assert help_ in message
    assert len(re.findall(r"\d+(\.\d)? (MiB|GiB)", message)) >= 4
    assert before.keys() == tiny.model.state_dict().keys()
    assert all(torch.equal(t, before[n]) for n, t in tiny.model.state_dict().items())


def test_advice_names_only_what_is_not_done_yet(tiny: VLM) -> None:
    targets = linear_targets(tiny.model, tiny.parts)
    done = FitSettings(batch=1, gradient_checkpointing=True)
    line = advice(tiny.model, targets, done, 1000)
    assert "batch=1" not in line and "checkpointing" not in line and "--device-map" in line


def test_other_errors_of_a_loss_are_left_alone(tiny: VLM, rows: list[Row], tmp_path: Path) -> None:
    def wrong(model: PreTrainedModel, batch: Mapping[str, Tensor]) -> Tensor:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        fit(tiny, rows, settings=SETTINGS, out=tmp_path / "a", seed=0, loss=wrong)
