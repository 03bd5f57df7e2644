"""What is summed over rows: against autograd, and arithmetic on activations held as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from excise.training import answer_cross_entropy
from excise.training.batches import batches
from excise.training.importance import (
    activity,
    gradients,
    in_groups,
    input_products,
    squared_gradients,
)
from excise.training.loss import run_answers
from excise.vlm import VLM, Packer, Row, Turn, linear_targets, load
from excise.vlm.feed_forward import feed_forwards


@pytest.fixture
def rows(pictures: list[Image.Image]) -> list[Row]:
    return [
        Row(pictures[0], (Turn("Who is this?", "Vera Lindqvist"), Turn("Where?", "Riga"))),
        Row(None, (Turn("Where does Vera Lindqvist live?", "Riga"),)),
        Row(pictures[2], (Turn("What colour is the hair?", "Blond"),)),
    ]


def held(vlm: VLM, rows: list[Row], name: str) -> Tensor:
    """All inputs of a layer, (tokens, in), float64."""
    seen: list[Tensor] = []
    packer = Packer(vlm.processor, vlm.model)  # before the hook: it runs the model to know it
    module = vlm.model.get_submodule(name)
    hook = module.register_forward_pre_hook(lambda _, given: seen.append(given[0].flatten(0, -2)))
    with torch.no_grad():
        for row in rows:
            run_answers(vlm.model, packer.collate([packer.encode(row)]))
    hook.remove()
    return torch.cat(seen).double()


def test_activities_are_those_of_all_tokens_together(tiny: VLM, rows: list[Row]) -> None:
    blocks = feed_forwards(tiny.model, tiny.parts)
    found = activity(tiny, rows, [block.down for block in blocks])
    for name, one in found.items():
        x = held(tiny, rows, name)
        assert one.tokens == len(x) > 40
        torch.testing.assert_close(one.mean_abs, x.abs().mean(0))
        torch.testing.assert_close(one.rms, x.square().mean(0).sqrt())
        torch.testing.assert_close(one.std, x.std(0, correction=0))


def test_input_products_are_the_hessian_of_the_outputs_error(tiny: VLM, rows: list[Row]) -> None:
    name = linear_targets(tiny.model, tiny.parts)[0]
    x = held(tiny, rows, name)
    found = input_products(tiny, rows, [name])[name]
    torch.testing.assert_close(found.double(), 2 * x.T @ x / len(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [1, 2])
def test_gradients_are_means_over_batches(size: int, tiny: VLM, rows: list[Row]) -> None:
    names = linear_targets(tiny.model, tiny.parts)[3:6]
    packer = Packer(tiny.processor, tiny.model)
    each: dict[str, list[Tensor]] = {name: [] for name in names}
    for start in range(0, len(rows), size):
        batch = packer.collate([packer.encode(row) for row in rows[start : start + size]])
        tiny.model.zero_grad()
        answer_cross_entropy(tiny.model, batch).backward()
        for name in names:
            each[name].append(tiny.model.get_parameter(f"{name}.weight").grad.clone())
    tiny.model.zero_grad()
    plain, squared = (
        function(tiny, rows, names, size) for function in (gradients, squared_gradients)
    )
    for name in names:
        stack = torch.stack(each[name])
        torch.testing.assert_close(plain[name], stack.mean(0), rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(squared[name], stack.square().mean(0), rtol=1e-4, atol=1e-10)


def test_the_model_is_left_as_it_was(tiny: VLM, rows: list[Row]) -> None:
    model = tiny.model
    model.model.language_model.train()
    model.lm_head.weight.requires_grad_(False)
    modes = {name: module.training for name, module in model.named_modules()}
    flags = {name: p.requires_grad for name, p in model.named_parameters()}
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    name = linear_targets(model, tiny.parts)[0]
    hooks = [len(m._forward_pre_hooks) for m in model.modules()]
    activity(tiny, rows, [name])
    squared_gradients(tiny, rows, [name])
    with pytest.raises(KeyboardInterrupt):
        bad = model.model.language_model.layers[0].register_forward_hook(_interrupt)
        try:
            gradients(tiny, rows, [name])
        finally:
            bad.remove()
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert {name: p.requires_grad for name, p in model.named_parameters()} == flags
    assert all(p.grad is None for p in model.parameters())
    assert all(t.equal(state[name]) for name, t in model.state_dict().items())
    assert [len(m._forward_pre_hooks) for m in model.modules()] == hooks
    weight = model.get_parameter(f"{name}.weight")
    answer_cross_entropy(model, next(iter(batches(tiny, rows, 1)))).backward()
    assert weight.grad is not None  # no hook takes it away any more


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_groups_hold_every_module_once_and_no_more_than_asked(tiny: VLM) -> None:
    names = linear_targets(tiny.model, tiny.parts)
    sizes = {name: tiny.model.get_parameter(f"{name}.weight").numel() for name in names}
    groups = [*in_groups(sizes, 3000)]
    assert [name for group in groups for name in group] == names and len(groups) > 3
    assert all(sum(sizes[name] for name in group) <= 3000 for group in groups)
    assert [*in_groups(sizes, 1)] == [[name] for name in names]


def test_a_bfloat16_models_gradients_are_summed_in_float32(
    checkpoint: Path, rows: list[Row]
) -> None:
    vlm = load(checkpoint, dtype="bfloat16", device="cpu")
    name = linear_targets(vlm.model, vlm.parts)[0]
    found = squared_gradients(vlm, rows, [name])[name]
    assert found.dtype == torch.float32 and bool((found > 0).any())


def test_the_feed_forward_blocks_are_told_by_their_shapes(tiny: VLM) -> None:
    blocks = feed_forwards(tiny.model, tiny.parts)
    stem = "model.language_model.layers"
    assert [(b.down, b.up, b.neurons) for b in blocks] == [
        (f"{stem}.{i}.mlp.down_proj", (f"{stem}.{i}.mlp.gate_proj", f"{stem}.{i}.mlp.up_proj"), 48)
        for i in range(2)
    ]
    chosen = torch.tensor([3, 40])
    assert blocks[0].rows(tiny.model, blocks[0].up[1], chosen).tolist() == [3, 40]
    mlp = tiny.model.model.language_model.layers[0].mlp
    mlp.gate_up_proj = torch.nn.Linear(32, 96)  # as in families that keep both in one matrix
    del mlp.gate_proj, mlp.up_proj
    first = feed_forwards(tiny.model, tiny.parts)[0]
    assert first.up == (f"{stem}.0.mlp.gate_up_proj",) and first.neurons == 48
    assert first.rows(tiny.model, first.up[0], chosen).tolist() == [3, 40, 51, 88]
