"""Feed-forward blocks of every family, and neurons that are silent once they are pruned."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from tests.families.checkpoints import FAMILIES
from tests.families.conftest import FamilyCheckpoint, FamilyVLM

from excise.methods.manu import prune
from excise.training.importance import activity
from excise.training.neuron_paths import influential
from excise.vlm import Row, Turn, load
from excise.vlm.feed_forward import feed_forwards


@pytest.mark.parametrize("family", FAMILIES)
def test_every_familys_blocks_are_found(family: str, family_vlm: FamilyVLM) -> None:
    vlm = family_vlm(family)
    blocks = feed_forwards(vlm.model, vlm.parts)
    assert len(blocks) == 2
    for block in blocks:
        ends = [name.rpartition(".")[2] for name in (*block.up, block.down)]
        assert ends == ["gate_proj", "up_proj", "down_proj"]
        assert vlm.model.get_parameter(f"{block.down}.weight").shape[1] == block.neurons


@pytest.mark.parametrize("family", FAMILIES)
def test_activities_cover_every_token_once_and_pruned_neurons_are_silent(
    family: str, family_checkpoint: FamilyCheckpoint, shapes: list[Image.Image]
) -> None:
    vlm = load(family_checkpoint(family), device="cpu")
    rows = [
        Row(shapes[0], (Turn("What is this?", "a cat"), Turn("Where?", "here"))),
        Row(None, (Turn("Who?", "nobody"),)),
    ]
    blocks = feed_forwards(vlm.model, vlm.parts)
    names = [block.down for block in blocks]
    before = activity(vlm, rows, names)
    tokens = {one.tokens for one in before.values()}
    assert len(tokens) == (2 if family == "mllama" else 1)  # whose second block is for pictures
    paths = influential(vlm, rows, names, best=3, frames=1)
    ran = [[len(each) for each in one] for one in paths]
    assert ran[0] == [3, 3] and ran[-1] == [3, 0 if family == "mllama" else 3]
    neurons = torch.tensor([0, 5])
    with torch.no_grad():
        for name, change in prune(vlm.model, blocks[0], neurons).items():
            vlm.model.get_parameter(f"{name}.weight").add_(change.dense())
    after = activity(vlm, rows, names)
    assert bool((before[names[0]].mean_abs[neurons] > 0).all())
    silent = (after[names[0]].mean_abs == 0).nonzero().view(-1)
    assert torch.equal(silent, neurons)
