"""Scores of neuron paths against the equations, with slopes measured by small steps in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from excise.training.batches import batches
from excise.training.loss import answer_logprobs
from excise.training.neuron_paths import influential, path_scores
from excise.vlm import VLM, Row, Turn
from excise.vlm.feed_forward import feed_forwards
from excise.vlm.packing import IGNORED

FRAMES = 3
STEP = 1e-5


@pytest.fixture
def rows(pictures: list[Image.Image]) -> list[Row]:
    return [
        Row(None, (Turn("Where?", "Riga"), Turn("Who is this?", "Vera"))),
        Row(pictures[0], (Turn("Who?", "Vera"),)),
    ]


class Probe:
    """log p of the answers as a function of what stands in two blocks at the answers' places."""

    def __init__(self, vlm: VLM, batch: Mapping[str, Any]) -> None:
        self.model, self.batch = vlm.model, batch
        names = [block.down for block in feed_forwards(vlm.model, vlm.parts)]
        self.layers = [vlm.model.get_submodule(name) for name in names]
        self.places = (batch["labels"][0, 1:] != IGNORED).nonzero().view(-1)
        self.own: list[Tensor] = []
        self.value([None, None])

    def value(self, inputs: list[Tensor | None]) -> float:
        heard: list[Tensor] = []
        handles = []
        for layer, new in zip(self.layers, inputs, strict=True):

            def hook(module: Any, given: tuple[Tensor], new: Tensor | None = new) -> Any:
                heard.append(given[0][0, self.places].clone())
                if new is None:
                    return None
                x = given[0].clone()
                x[0, self.places] = new
                return (x,)

            handles.append(layer.register_forward_pre_hook(hook))
        with torch.no_grad():
            total = float(answer_logprobs(self.model, self.batch).double().sum())
        for handle in handles:
            handle.remove()
        self.own = self.own or heard
        return total

    def slope(self, inputs: list[Tensor | None], block: int, neuron: int) -> Tensor:
        """The slope at one neuron, place by place."""
        found = []
        for place in range(len(self.places)):
            sides = []
            for step in (STEP, -STEP):
                moved = [one if one is None else one.clone() for one in inputs]
                moved[block][place, neuron] += step  # type: ignore[index]
                sides.append(self.value(moved))
            found.append((sides[0] - sides[1]) / (2 * STEP))
        return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize("number", [0, 1])
def test_scores_are_the_integrals_of_the_equations(tiny: VLM, rows: list[Row], number: int) -> None:
    tiny.model.double().eval().requires_grad_(False)
    for module in tiny.model.modules():
        if type(module).__name__ == "Qwen2RMSNorm":  # whose own forward goes through float32
            module.forward = _normalised(module)  # type: ignore[method-assign]
    # logprobs are float32 whatever the model is: in float64 small steps can be told apart
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "float", Tensor.double)
        batch = [*batches(tiny, rows, 1)][number]
        if "pixel_values" in batch:
            batch = {**batch, "pixel_values": batch["pixel_values"].double()}
        probe = Probe(tiny, batch)
        first, second = path_scores(tiny.model, probe.layers, batch, FRAMES)
        power = 1 if rows[number].picture is None else 2
        own = probe.own

        neurons = [int(first.argmax()), 7]
        for neuron in neurons:
            slopes = sum(
                probe.slope([own[0] * k / FRAMES, None], 0, neuron) ** power
                for k in range(1, FRAMES + 1)
            )
            score = float((own[0][:, neuron] * slopes).sum())
            assert float(first[neuron]) == pytest.approx(score, rel=1e-3)

        best = int(first.argmax())
        for neuron in (int(second.argmax()), 11):
            slopes = torch.zeros(len(probe.places), dtype=torch.float64)
            for k in range(1, FRAMES + 1):
                below = own[0].clone()
                below[:, best] *= k / FRAMES
                inputs: list[Tensor | None] = [below, own[1] * k / FRAMES]
                slopes += probe.slope(inputs, 0, best) ** power
                slopes += probe.slope(inputs, 1, neuron) ** power
            score = float(((own[0][:, best] + own[1][:, neuron]) * slopes).sum())
            assert float(second[neuron]) == pytest.approx(score, rel=1e-3)


def _normalised(module: Any) -> Any:
    def forward(x: Tensor) -> Tensor:
        size = x.square().mean(-1, keepdim=True) + module.variance_epsilon
        return module.weight * x * size.rsqrt()

    return forward


def test_the_best_of_each_block_are_told_for_each_row(tiny: VLM, rows: list[Row]) -> None:
    modules = [block.down for block in feed_forwards(tiny.model, tiny.parts)]
    state = {name: tensor.clone() for name, tensor in tiny.model.state_dict().items()}
    found = influential(tiny, rows, modules, best=4, frames=2)
    assert [[len(each) for each in one] for one in found] == [[4, 4], [4, 4]]
    layers = [tiny.model.get_submodule(name) for name in modules]
    tiny.model.eval()
    for batch, told in zip(batches(tiny, rows, 1), found, strict=True):
        for scores, each in zip(path_scores(tiny.model, layers, batch, 2), told, strict=True):
            order = scores.sort(descending=True).indices[:4]
            assert torch.equal(each, order)
    assert all(t.equal(state[name]) for name, t in tiny.model.state_dict().items())
    assert all(parameter.requires_grad for parameter in tiny.model.parameters())
    assert not any(module._forward_pre_hooks for module in tiny.model.modules())
