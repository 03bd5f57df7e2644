from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from excise.vlm import VLM, Packer, load
from excise.vlm.layout import common_prefix
from excise.vlm.masks import NO_BLOCK, PADDING, Attention, Reach, Tokens, reaches
from excise.vlm.sharing import known_obstacle, sharing_obstacle
from excise.vlm.trial import evaluating


def test_layers_that_carry_a_state_from_token_to_token_are_an_obstacle(tiny: VLM) -> None:
    tiny.model.config.text_config.layer_types = ["linear_attention", "full_attention"]
    obstacle = known_obstacle(tiny.model)
    assert obstacle == "its layers (linear_attention) hand on more than a mask can hide"
    assert Packer(tiny.processor, tiny.model).obstacle == obstacle


def test_attention_that_takes_no_block_mask_is_an_obstacle_until_it_is_changed(tiny: VLM) -> None:
    text = tiny.model.config.text_config
    text._attn_implementation = "flash_attention_2"
    obstacle = sharing_obstacle(tiny.model, tiny.processor)
    assert obstacle is not None and "flash_attention_2" in obstacle and "sdpa" in obstacle
    text._attn_implementation = "sdpa"
    assert sharing_obstacle(tiny.model, tiny.processor) is None


def _hook_language_model(vlm: VLM, hook: Any) -> None:
    vlm.model.get_submodule(vlm.parts.language_model).register_forward_pre_hook(
        hook, with_kwargs=True
    )


def test_an_architecture_that_takes_no_heed_of_the_mask_is_found_out(tiny: VLM) -> None:
    def look_everywhere(module: nn.Module, args: Any, given: dict[str, Any]) -> Any:
        return args, given | {"attention_mask": None}

    _hook_language_model(tiny, look_everywhere)
    obstacle = sharing_obstacle(tiny.model, tiny.processor)
    assert obstacle is not None and "packed and separate rows differ" in obstacle


def test_an_architecture_that_takes_no_heed_of_the_positions_is_found_out(tiny: VLM) -> None:
    def count(module: nn.Module, args: Any, given: dict[str, Any]) -> Any:
        return args, given | {"position_ids": None}

    _hook_language_model(tiny, count)
    obstacle = sharing_obstacle(tiny.model, tiny.processor)
    assert obstacle is not None and "packed and separate rows differ" in obstacle


def test_an_architecture_that_refuses_a_block_mask_is_found_out(tiny: VLM) -> None:
    def refuse(module: nn.Module, args: Any, given: dict[str, Any]) -> Any:
        if given["attention_mask"].dim() != 2:
            raise ValueError("a mask of two dimensions please\nand more")
        return args, given

    _hook_language_model(tiny, refuse)
    obstacle = sharing_obstacle(tiny.model, tiny.processor)
    assert obstacle == "a packed row fails on it (a mask of two dimensions please)"


def test_a_model_is_tried_once(tiny: VLM) -> None:
    runs: list[int] = []
    tiny.model.register_forward_pre_hook(lambda *_: runs.append(1))
    assert sharing_obstacle(tiny.model, tiny.processor) is None
    tried = len(runs)
    assert 0 < tried <= 4
    assert Packer(tiny.processor, tiny.model).obstacle is None
    assert len(runs) == tried


def test_the_trial_leaves_each_module_in_its_mode_and_no_gradient(tiny: VLM) -> None:
    tiny.model.train()
    tower = tiny.model.get_submodule(tiny.parts.vision_tower)
    tower.eval()
    assert sharing_obstacle(tiny.model, tiny.processor) is None
    assert tiny.model.training and not any(module.training for module in tower.modules())
    assert all(parameter.grad is None for parameter in tiny.model.parameters())
    with evaluating(tiny.model):
        assert not tiny.model.training


def test_layers_of_two_kinds_get_two_masks_and_windows_are_counted_in_places(
    checkpoint: Path,
) -> None:
    model = load(checkpoint, device="cpu").model
    text = model.config.text_config
    text.layer_types, text.sliding_window = ["sliding_attention", "full_attention"], 3
    attention = Attention(model)
    assert attention.reaches["sliding_attention"] == Reach("window", 3)
    # Two questions of two tokens behind a prefix of three; then padding.
    tokens = Tokens(
        torch.tensor([[0, 0, 0, 1, 1, 2, 2, PADDING]]),
        torch.tensor([[0, 1, 2, 3, 4, 3, 4, 0]]),
        torch.full((1, 8), NO_BLOCK),
    )
    masks = attention.mask(tokens, tokens)
    assert isinstance(masks, dict)
    last = {kind: mask[0, 0, 6].nonzero().flatten().tolist() for kind, mask in masks.items()}
    assert last == {"full_attention": [0, 1, 2, 5, 6], "sliding_attention": [2, 5, 6]}
    assert all(bool(mask.any(-1).all()) for mask in masks.values())
    assert not masks["full_attention"][0, 0, :7, 7].any()


def test_chunks_and_unknown_kinds_of_layers_are_told_apart() -> None:
    class Text:
        layer_types = ("chunked_attention",)
        attention_chunk_size = 4

    assert reaches(Text()) == {"chunked_attention": Reach("chunk", 4)}
    places = torch.arange(6)
    seen = Reach("chunk", 4).allows(places[:, None], places[None])
    assert seen is not None and not seen[4, 3] and seen[5, 4]
    Text.layer_types = ("conv",)
    assert reaches(Text()) == {}


@pytest.mark.parametrize(
    ("sequences", "length"),
    [([(1, 2, 3)], 3), ([(1, 2, 3), (1, 2)], 2), ([(1, 2), (1, 3), (1, 2)], 1), ([(), (1,)], 0)],
)
def test_the_common_prefix_is_the_longest(sequences: list[tuple[int, ...]], length: int) -> None:
    assert common_prefix(sequences) == length
