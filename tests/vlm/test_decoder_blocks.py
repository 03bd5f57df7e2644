from __future__ import annotations

import pytest

from excise.records.errors import InputError
from excise.vlm import VLM
from excise.vlm.decoder_blocks import decoder_blocks, mlp_targets


def test_an_mlp_is_what_in_a_block_does_not_mix_tokens(tiny: VLM) -> None:
    blocks = decoder_blocks(tiny.model, tiny.parts)
    assert blocks == [f"model.language_model.layers.{number}" for number in (0, 1)]
    found = mlp_targets(tiny.model, tiny.parts, blocks)
    assert [name.rpartition(".")[2] for name in found] == ["gate_proj", "up_proj", "down_proj"] * 2
    assert all(".mlp." in name for name in found)


def test_blocks_without_an_mlp_are_refused(tiny: VLM) -> None:
    with pytest.raises(InputError, match="no MLP among the layers of 1 blocks"):
        mlp_targets(tiny.model, tiny.parts, ["model.vision_tower.encoder.layers.0"])
