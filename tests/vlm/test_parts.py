from __future__ import annotations

import pytest
from torch import nn

from excise.records.errors import InputError
from excise.vlm import VLM, Parts, find_parts, linear_targets


def test_the_parts_of_llava_are_named_exactly(tiny: VLM) -> None:
    assert find_parts(tiny.model) == Parts(
        vision_tower="model.vision_tower",
        projector="model.multi_modal_projector",
        language_model="model.language_model",
        lm_head="lm_head",
    )


def test_targets_are_all_linear_layers_of_the_language_model_and_no_others(tiny: VLM) -> None:
    targets = linear_targets(tiny.model, tiny.parts)
    assert len(targets) == len(set(targets)) == 2 * 7
    for name in targets:
        assert name.startswith("model.language_model.layers.")
        assert isinstance(tiny.model.get_submodule(name), nn.Linear)


def test_the_vision_tower_and_the_projector_can_be_named_too(tiny: VLM) -> None:
    tower = linear_targets(tiny.model, tiny.parts, "vision_tower")
    assert tower
    assert all(name.startswith("model.vision_tower.") for name in tower)
    assert linear_targets(tiny.model, tiny.parts, "projector") == [
        "model.multi_modal_projector.linear_1",
        "model.multi_modal_projector.linear_2",
    ]


def test_a_model_without_vision_tower_is_refused_with_its_modules(tiny: VLM) -> None:
    del tiny.model.model.vision_tower
    with pytest.raises(InputError, match=r"no vision tower .*model\.multi_modal_projector"):
        find_parts(tiny.model)


def test_a_part_without_linear_layers_is_refused(tiny: VLM) -> None:
    tiny.model.model.language_model.layers = nn.ModuleList()
    with pytest.raises(InputError, match="no linear layers in model.language_model"):
        linear_targets(tiny.model, tiny.parts)
