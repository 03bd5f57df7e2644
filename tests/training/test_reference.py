"""With the adapter off the model says what a second copy of the base says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from PIL import Image

from excise.training import Kept, answer_cross_entropy, answer_logprobs, reference_logprobs
from excise.training.reference import untouched
from excise.vlm import VLM, Packer, Row, Turn, linear_targets, load

TURNS = (Turn("Who is this?", "Vera Lindqvist"), Turn("Where?", "In Riga."))
Batch = dict[str, Any]


@pytest.fixture
def adapted(tiny: VLM) -> PeftModel:
    """An adapter that says something, with dropout, in training mode."""
    torch.manual_seed(0)
    config = LoraConfig(
        r=4,
        lora_dropout=0.5,
        target_modules=linear_targets(tiny.model, tiny.parts),
        init_lora_weights=False,
    )
    model = get_peft_model(tiny.model, config)
    model.train()
    return model


@pytest.fixture
def batches(checkpoint: Path, pictures: list[Image.Image]) -> list[Batch]:
    """Two batches of different widths that share a row; then rows that differ in one thing."""
    vlm = load(checkpoint, device="cpu")
    packer = Packer(vlm.processor, vlm.model)
    shared = Row(pictures[0], TURNS)
    given = [
        [shared, Row(None, TURNS[:1])],
        [Row(pictures[1], (*TURNS, Turn("Who else is in the picture?", "Nobody"))), shared],
        [Row(pictures[1], TURNS), Row(None, (Turn("Who is this?", "Vera"),))],
    ]
    made = []
    for rows in given:
        encoded = [packer.encode(row) for row in rows]
        made.append({**packer.collate(encoded), "pictures": [row.picture for row in encoded]})
    return made


@pytest.fixture
def second(checkpoint: Path) -> VLM:
    return load(checkpoint, device="cpu")


def test_the_reference_is_a_second_copy_of_the_base(
    adapted: Any, second: VLM, batches: list[Batch]
) -> None:
    for batch in batches:
        with torch.no_grad():
            expected = answer_logprobs(second.model, batch)
            moved = answer_logprobs(adapted, batch)
        found = reference_logprobs(adapted, batch)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
        assert not found.requires_grad
        assert not torch.allclose(moved, expected, atol=1e-2)


def test_the_reference_is_the_same_under_gradient_checkpointing(
    adapted: Any, second: VLM, batches: list[Batch]
) -> None:
    adapted.gradient_checkpointing_enable({"use_reentrant": False})
    expected = answer_logprobs(second.model, batches[0])
    found = reference_logprobs(adapted, batches[0])
    torch.testing.assert_close(found, expected.detach(), rtol=1e-6, atol=1e-6)
    answer_cross_entropy(adapted, batches[0]).backward()
    assert any(p.grad is not None and p.grad.any() for p in adapted.parameters())


def test_afterwards_modes_and_gradients_are_as_before(adapted: Any, batches: list[Batch]) -> None:
    adapted.base_model.model.model.vision_tower.eval()
    frozen = next(p for n, p in adapted.named_parameters() if "lora_A" in n)
    frozen.requires_grad_(False)
    modes = [module.training for module in adapted.modules()]
    flags = [parameter.requires_grad for parameter in adapted.parameters()]
    with pytest.raises(ZeroDivisionError), untouched(adapted):
        assert not any(module.training for module in adapted.modules())
        raise ZeroDivisionError
    reference_logprobs(adapted, batches[0])
    assert [module.training for module in adapted.modules()] == modes
    assert [parameter.requires_grad for parameter in adapted.parameters()] == flags


def test_a_policy_loss_made_before_the_reference_keeps_its_gradient(
    adapted: Any, batches: list[Batch]
) -> None:
    adapted.eval()
    answer_cross_entropy(adapted, batches[0]).backward()
    expected = [p.grad.clone() for p in adapted.parameters() if p.grad is not None]
    adapted.zero_grad()
    policy = answer_logprobs(adapted, batches[0])
    reference = reference_logprobs(adapted, batches[0])
    (-(policy - reference).mean()).backward()
    found = [p.grad for p in adapted.parameters() if p.grad is not None]
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-7)


def test_rows_are_kept_whatever_batch_they_come_in(adapted: Any, batches: list[Batch]) -> None:
    kept = Kept()
    expected = [reference_logprobs(adapted, batch) for batch in batches]
    for _ in range(2):
        for batch, wanted in zip(batches, expected, strict=True):
            torch.testing.assert_close(reference_logprobs(adapted, batch, kept), wanted)
    assert kept.computed == 2 + 2 + 2
    first, second = batches[0], batches[1]
    mixed = {
        name: torch.stack([first[name][0], second[name][1][..., : first[name].shape[-1]]])
        for name in ("input_ids", "labels", "position_ids")
    }
    mixed["pictures"] = [first["pictures"][0], second["pictures"][1]]
    kept.logprobs(adapted, mixed)  # the shared row twice: known, and the model is not run
    assert kept.computed == 6


def test_what_is_kept_is_bounded(adapted: Any, batches: list[Batch]) -> None:
    answers = int((batches[0]["labels"] != -100).sum())
    kept = Kept(limit_bytes=4 * answers)
    kept.logprobs(adapted, batches[0])
    kept.logprobs(adapted, batches[0])
    assert kept.computed == 2
    kept.logprobs(adapted, batches[2])
    kept.logprobs(adapted, batches[0])
    assert kept.computed == 6


def test_without_knowing_its_pictures_nothing_is_kept(adapted: Any, batches: list[Batch]) -> None:
    kept = Kept()
    blind = {name: value for name, value in batches[0].items() if name != "pictures"}
    found = kept.logprobs(adapted, blind)
    torch.testing.assert_close(found, reference_logprobs(adapted, batches[0]))
    assert kept.computed == 0
