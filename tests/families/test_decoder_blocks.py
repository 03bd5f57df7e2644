"""In every family: which are the blocks, what in them is an MLP, and RMU on their texts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image
from tests.families.checkpoints import FAMILIES
from tests.families.conftest import FamilyVLM
from tests.families.test_packing import mixed

from excise.methods.rmu import Texts, activations
from excise.vlm import VLM, Packer, Row
from excise.vlm.decoder_blocks import decoder_blocks, mlp_targets
from excise.vlm.tokens import image_id


@pytest.mark.parametrize("family", FAMILIES)
def test_the_blocks_are_counted_from_below_and_their_mlps_found(
    family: str, family_vlm: FamilyVLM
) -> None:
    vlm = family_vlm(family)
    blocks = decoder_blocks(vlm.model, vlm.parts)
    stem = f"{vlm.parts.language_model}.layers"
    assert blocks == [f"{stem}.0", f"{stem}.1"]
    names = [f"mlp.{half}_proj" for half in ("gate", "up", "down")]
    assert mlp_targets(vlm.model, vlm.parts, blocks[1:]) == [f"{stem}.1.{name}" for name in names]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_is_the_same_whatever_it_stands_beside(
    family: str, family_vlm: FamilyVLM, shapes: list[Image.Image]
) -> None:
    """Means of a block's activations over each text, packed and padded, and one by one."""
    vlm = family_vlm(family)
    rows = mixed(shapes)
    apart = [[Row(row.picture, (turn,))] for row in rows for turn in row.turns]
    together = means(vlm, rows)
    torch.testing.assert_close(
        together, torch.cat([means(vlm, row) for row in apart]), rtol=1e-3, atol=1e-4
    )
    assert len(together) == 10


@torch.no_grad()
def means(vlm: VLM, rows: list[Row]) -> torch.Tensor:
    """(A, hidden)"""
    packer = Packer(vlm.processor, vlm.model)
    batch: dict[str, Any] = packer.collate([packer.encode(row) for row in rows])
    block = vlm.model.get_submodule(decoder_blocks(vlm.model, vlm.parts)[0])
    states = activations(vlm.model, block, batch)
    texts = Texts(batch, image_id(vlm.processor, vlm.model))
    return torch.stack([texts.means(states[..., unit]) for unit in range(states.shape[-1])], 1)
