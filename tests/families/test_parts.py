from __future__ import annotations

from pathlib import Path

import pytest
from tests.families.checkpoints import FAMILIES
from tests.families.conftest import FamilyCheckpoint, FamilyVLM
from torch import nn

from excise.vlm import load
from excise.vlm.parts import Parts, linear_targets, part_sizes

LLAVA = ("model.vision_tower", "model.multi_modal_projector", "model.language_model")
QWEN = ("model.visual", "model.visual.merger", "model.language_model")
IDEFICS = ("model.vision_model", "model.connector", "model.text_model")
EXPECTED = {
    "llava": LLAVA,
    "llava_next": LLAVA,
    "llava_onevision": LLAVA,
    "qwen2_vl": QWEN,
    "qwen2_5_vl": QWEN,
    "qwen3_vl": QWEN,
    "internvl": LLAVA,
    "gemma3": LLAVA,
    "smolvlm": IDEFICS,
    "idefics3": IDEFICS,
    "paligemma": LLAVA,
    "pixtral": LLAVA,
    "mistral3": LLAVA,
    "mllama": ("model.vision_model", "model.multi_modal_projector", "model.language_model"),
}


def test_every_family_is_tested() -> None:
    assert set(EXPECTED) == set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_parts_are_named_exactly(family: str, family_vlm: FamilyVLM) -> None:
    tower, projector, language_model = EXPECTED[family]
    vlm = family_vlm(family)
    assert vlm.parts == Parts(tower, projector, language_model, "lm_head")


@pytest.mark.parametrize("family", FAMILIES)
def test_targets_are_the_linear_layers_of_the_language_model_and_no_others(
    family: str, family_vlm: FamilyVLM
) -> None:
    vlm = family_vlm(family)
    targets = linear_targets(vlm.model, vlm.parts)
    # Two layers of q, k, v, o, gate, up, down; Mllama's second one looks at pictures.
    assert len(targets) == len(set(targets)) == 2 * 7
    assert all(name.startswith(f"{EXPECTED[family][2]}.layers.") for name in targets)
    every = [name for name, module in vlm.model.named_modules() if isinstance(module, nn.Linear)]
    inside = [name for name in every if name.startswith(f"{vlm.parts.language_model}.layers.")]
    assert targets == inside
    assert len(every) > len(inside)  # the vision tower has some too


@pytest.mark.parametrize("family", FAMILIES)
def test_the_sizes_of_the_parts_add_up(family: str, family_vlm: FamilyVLM) -> None:
    vlm = family_vlm(family)
    sizes = part_sizes(vlm.model, vlm.parts)
    assert sum(sizes.values()) == sum(p.numel() for p in vlm.model.parameters())
    assert sizes["language_model"] == sum(
        p.numel() for p in vlm.model.get_submodule(vlm.parts.language_model).parameters()
    )
    assert min(sizes["vision_tower"], sizes["projector"]) > 0
    head = vlm.model.get_submodule("lm_head").weight.numel()
    # Beside the head only what stands for a line break or a row's end.
    assert head <= sizes["elsewhere"] <= head + 64


def test_a_part_named_by_hand_is_taken(family_checkpoint: FamilyCheckpoint) -> None:
    folder: Path = family_checkpoint("idefics3")
    hand = {"projector": "model.connector.modality_projection"}
    assert load(folder, device="cpu", parts=hand).parts.projector == hand["projector"]
