"""MIP-Editor: neurons that start silent, and the misdirection that trains their rows alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.methods.materials import edited, inputs, material_for, weight

from excise.methods.mip_editor import MIPEditor, direction, silenced
from excise.records.data import Data
from excise.training.loss import run_answers
from excise.training.selection import Selection
from excise.training.settings import FitSettings
from excise.vlm import VLM, Packer, rows_from_records
from excise.vlm.feed_forward import feed_forwards
from excise.weights.sparse import Sparse, read_sparse

QUICK = FitSettings(lr=1e-2, steps=4, batch=2)
CHOSEN = [torch.tensor([3, 40]), torch.tensor([0, 7, 47])]


def started(vlm: VLM, selection: Selection) -> None:
    """Put what the entries start from onto the weights."""
    with torch.no_grad():
        for name, index in selection.index.items():
            shape = weight(vlm, name).shape
            change = Sparse((shape[0], shape[1]), index, selection.start[name])
            weight(vlm, name).add_(change.dense())


@pytest.mark.parametrize("fused", [False, True])
def test_chosen_neurons_start_silent_and_nothing_else_does(
    fused: bool, tiny: VLM, data: Data
) -> None:
    if fused:
        for layer in tiny.model.model.language_model.layers:
            mlp = layer.mlp
            both = torch.nn.Linear(32, 96, bias=False)
            both.weight = torch.nn.Parameter(torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]))
            mlp.gate_up_proj = both
            del mlp.gate_proj, mlp.up_proj
            mlp.forward = _forward(mlp)
    blocks = feed_forwards(tiny.model, tiny.parts)
    downs = [block.down for block in blocks]
    rows = rows_from_records(data, data.select(splits=["few"]))
    started(tiny, silenced(tiny.model, blocks, CHOSEN))
    for (_, x), neurons in zip(inputs(tiny, rows, downs).items(), CHOSEN, strict=True):
        silent = (x == 0).all(0).nonzero().view(-1)
        assert torch.equal(silent, neurons)


def _forward(mlp: torch.nn.Module):
    def forward(x: torch.Tensor) -> torch.Tensor:
        gate, up = mlp.gate_up_proj(x).chunk(2, dim=-1)
        return mlp.down_proj(torch.nn.functional.silu(gate) * up)

    return forward


def test_the_loss_is_the_published_one(tiny: VLM, data: Data, tmp_path: Path) -> None:
    method = MIPEditor(layer=1, steering=3.0, retain=0.4, fit=QUICK)
    material = material_for(method, tiny, data, tmp_path)
    loss = method.bound(material)
    rows = [
        *rows_from_records(data, material.forget, role="forget"),
        *rows_from_records(data, material.few, role="keep"),
    ]
    packer = Packer(tiny.processor, tiny.model)
    block = tiny.model.model.language_model.layers[1]
    heard: list[torch.Tensor] = []
    hook = block.register_forward_hook(
        lambda m, given, out: heard.append(out[0] if isinstance(out, tuple) else out)
    )
    blocks = feed_forwards(tiny.model, tiny.parts)
    selection = silenced(tiny.model, blocks, CHOSEN)
    u = direction(32, material.seed)
    torch.manual_seed(0)
    total: dict[str, list[float]] = {"forget": [], "keep": []}
    with torch.no_grad(), selection.attached(tiny.model) as selected:
        whole = packer.collate([packer.encode(row) for row in rows])
        actual = float(loss(selected, whole))  # type: ignore[arg-type]
        for row in rows:
            for turn in row.turns:  # each question by itself: what it is when nothing is packed
                alone = type(row)(row.picture, (turn,))
                batch = packer.collate([packer.encode(alone)])
                text = batch["input_ids"][0] != 5  # the picture's own token
                heard.clear()
                run_answers(selected, batch)  # type: ignore[arg-type]
                with selected.disable_adapter():
                    run_answers(selected, batch)  # type: ignore[arg-type]
                now, then = (states[0][text].double() for states in heard)
                if turn.role == "forget":
                    aim = 3.0 * then.norm(dim=1, keepdim=True) * u.double()
                    apart = ((now - aim) ** 2).mean()
                else:
                    apart = ((now - then) ** 2).mean()
                total[turn.role].append(float(apart))
    hook.remove()
    forget, keep = (sum(values) / len(values) for values in total.values())
    assert actual == pytest.approx(forget + 0.4 * keep, rel=1e-4)
    assert float(u.norm()) == pytest.approx(1.0) and float(u.min()) < 0


def test_a_run_changes_the_rows_of_some_neurons_alone_and_trains_them(
    tiny: VLM, data: Data, tmp_path: Path
) -> None:
    method = MIPEditor(layer=0, topk=2, frames=2, fit=QUICK)
    material = material_for(method, tiny, data, tmp_path)
    spec = method.run(material)
    changes = read_sparse(tmp_path / "forgetting")
    made = edited(tiny, tmp_path, spec)
    counted = 0
    for number, block in enumerate(feed_forwards(tiny.model, tiny.parts)):
        gate, up = block.up
        rows = sorted({int(i) // 32 for i in changes[up].index})
        assert rows == sorted({int(i) // 32 for i in changes[gate].index})
        assert len(changes[up].index) == 32 * len(rows) and 2 <= len(rows) < 48
        assert block.down not in changes
        counted += len(rows)
        # Above the layer nothing has a gradient: there the neurons stay silent.
        assert bool((made[up][rows] == 0).all()) == (number > 0)
        assert bool((changes[gate].values == 0).all()) == (number > 0)
    assert material.notes["neurons_edited"] == counted
    losses = material.fits["forgetting"].losses
    assert len(losses) == 4 and losses[-1] < losses[0]
