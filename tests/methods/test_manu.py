"""MANU: scores from activations held as a whole, and neurons that are silent for good."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.methods.materials import edited, inputs, material_for, weight
from torch import Tensor

from excise.methods.manu import MANU, prune
from excise.records.data import Data
from excise.records.errors import InputError
from excise.vlm import VLM, load, rows_from_records
from excise.vlm.feed_forward import feed_forwards


def expected_neurons(vlm: VLM, data: Data, method: MANU, folder: Path) -> dict[str, set[int]]:
    """The neurons of the best scores at each door, with numpy."""
    material = material_for(method, vlm, data, folder)
    downs = [block.down for block in feed_forwards(vlm.model, vlm.parts)]
    found: dict[str, set[int]] = {down: set() for down in downs}
    for pictured in (True, False):
        sides = []
        for records in (material.forget, material.few):
            rows = rows_from_records(
                data, [r for r in records if (r.image is not None) == pictured]
            )
            sides.append({n: x.numpy() for n, x in inputs(vlm, rows, downs).items()})
        measures = [
            lambda z: np.abs(z).mean(0),
            lambda z: z.std(0),
            lambda z: np.sqrt((z**2).mean(0)),
        ]
        scores = {
            down: sum(m(sides[0][down]) / (m(sides[1][down]) + 1e-5) - 1 for m in measures)
            for down in downs
        }
        everything = np.sort(np.concatenate([*scores.values()]))[::-1]
        least = everything[int(method.share * len(everything)) - 1]
        for down in downs:
            found[down] |= {*np.flatnonzero(scores[down] >= least - 1e-9).tolist()}
    return found


def test_the_neurons_busier_on_the_forget_set_are_pruned_exactly(
    tiny: VLM, data: Data, tmp_path: Path
) -> None:
    method = MANU(share=0.08)
    material = material_for(method, tiny, data, tmp_path)
    spec = method.run(material)
    made = edited(tiny, tmp_path, spec)
    expected = expected_neurons(tiny, data, method, tmp_path)
    assert material.notes["neurons_pruned"] == sum(len(each) for each in expected.values()) > 7
    for block in feed_forwards(tiny.model, tiny.parts):
        neurons = sorted(expected[block.down])
        for name in (*block.up, block.down):
            if not neurons:
                assert name not in made
                continue
            wanted = weight(tiny, name).clone()
            if name == block.down:
                wanted[:, neurons] = 0
            else:
                wanted[neurons] = 0
            assert torch.equal(made[name], wanted)  # to the last bit: W - W is zero


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_pruned_model_is_one_whose_neurons_say_nothing(
    dtype: str, checkpoint: Path, data: Data, tmp_path: Path
) -> None:
    vlm = load(checkpoint, dtype=dtype, device="cpu")
    method = MANU(share=0.08)
    spec = method.run(material_for(method, vlm, data, tmp_path))
    neurons: dict[str, list[int]] = {}
    made = edited(vlm, tmp_path, spec)
    for block in feed_forwards(vlm.model, vlm.parts):
        if block.down in made:
            empty = (made[block.down] == 0).all(0) & (weight(vlm, block.down) != 0).any(0)
            neurons[block.down] = empty.nonzero().view(-1).tolist()
    tokens = torch.arange(20, 60)[None]

    def silence(module: torch.nn.Module, given: tuple[Tensor], output: None = None) -> tuple:
        x = given[0].clone()
        x[..., chosen[module]] = 0
        return (x,)

    chosen = {vlm.model.get_submodule(name): each for name, each in neurons.items()}
    hooks = [module.register_forward_pre_hook(silence) for module in chosen]
    with torch.no_grad():
        silent = vlm.model(input_ids=tokens).logits
        for hook in hooks:
            hook.remove()
        for name, tensor in made.items():
            weight(vlm, name).copy_(tensor)
        assert torch.allclose(vlm.model(input_ids=tokens).logits, silent, rtol=0, atol=0)


def test_a_fused_pair_of_layers_loses_both_rows(tiny: VLM) -> None:
    mlp = tiny.model.model.language_model.layers[0].mlp
    mlp.gate_up_proj = torch.nn.Linear(32, 96)
    del mlp.gate_proj, mlp.up_proj
    block = feed_forwards(tiny.model, tiny.parts)[0]
    changes = prune(tiny.model, block, torch.tensor([3, 40]))
    changed = (changes[block.up[0]].dense() != 0).any(1).nonzero().view(-1)
    assert changed.tolist() == [3, 40, 51, 88]
    assert (changes[block.down].dense() != 0).any(0).nonzero().view(-1).tolist() == [3, 40]


def test_doors_that_are_not_on_both_sides_are_told(tiny: VLM, data: Data, tmp_path: Path) -> None:
    other = Data(
        data.folder,
        tuple(r for r in data.records if (r.split == "few") == (r.image is None)),
    )
    with pytest.raises(InputError, match="no records of the forget set's doors"):
        MANU(share=0.1).run(material_for(MANU(), tiny, other, tmp_path))
