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


def test_an_unknown_architecture_is_resolved_by_what_its_modules_were_built_from(
    tiny: VLM,
) -> None:
    inner = tiny.model.model
    for old, new in (("vision_tower", "eye"), ("language_model", "mouth")):
        setattr(inner, new, getattr(inner, old))
        delattr(inner, old)
    inner.bridge = inner.multi_modal_projector
    del inner.multi_modal_projector
    assert find_parts(tiny.model) == Parts("model.eye", "model.bridge", "model.mouth", "lm_head")


def test_a_model_that_nothing_is_known_of_gets_its_parts_by_hand(tiny: VLM) -> None:
    inner = tiny.model.model
    inner.eye = nn.ModuleDict({"tower": nn.Sequential(*inner.vision_tower.encoder.layers)})
    del inner.vision_tower
    with pytest.raises(InputError, match=r"--part vision_tower=MODULE .*model\.eye\.tower"):
        find_parts(tiny.model)
    parts = find_parts(tiny.model, {"vision_tower": "model.eye.tower"})
    assert parts.vision_tower == "model.eye.tower"
    assert parts.language_model == "model.language_model"


def test_a_part_by_hand_has_to_exist(tiny: VLM) -> None:
    with pytest.raises(InputError, match=r'no module "model.vision_towr"; did you mean "model.vis'):
        find_parts(tiny.model, {"vision_tower": "model.vision_towr"})
    with pytest.raises(InputError, match=r'unknown part "eye", expected one of language_model, '):
        find_parts(tiny.model, {"eye": "model.vision_tower"})


def test_a_part_without_linear_layers_is_refused(tiny: VLM) -> None:
    tiny.model.model.language_model.layers = nn.ModuleList()
    with pytest.raises(InputError, match="no linear layers in model.language_model"):
        linear_targets(tiny.model, tiny.parts)
