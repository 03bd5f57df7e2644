"""Task arithmetic and TIES: what was learnt of the forget set, taken away from the weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.methods.materials import edited, material_for, weight

from excise.methods.task_arithmetic import TaskArithmetic
from excise.methods.ties import Ties
from excise.records.data import Data
from excise.training import answer_cross_entropy
from excise.training.batches import batches
from excise.training.settings import FitSettings
from excise.vlm import VLM, rows_from_records
from excise.weights.delta import read_adapter

QUICK = FitSettings(rank=4, alpha=8, lr=1e-2, steps=8, batch=2)


def changes(folder: Path) -> dict[str, np.ndarray]:
    """An adapter's changes in float64, from the tensors of its file."""
    return {
        module: delta.scale * (delta.b.double() @ delta.a.double()).numpy()
        for module, delta in read_adapter(folder).items()
    }


def rounded(base: torch.Tensor, change: np.ndarray) -> torch.Tensor:
    return (base.double() + torch.from_numpy(change)).float()


@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_what_was_memorised_is_subtracted(
    scale: float, tiny: VLM, data: Data, tmp_path: Path
) -> None:
    method = TaskArithmetic(scale=scale, fit=QUICK)
    spec = method.run(material_for(method, tiny, data, tmp_path))
    learnt, made = changes(tmp_path / "memorised"), edited(tiny, tmp_path, spec)
    assert made.keys() == learnt.keys() and len(made) == 14
    for module, change in learnt.items():
        expected = rounded(weight(tiny, module), -scale * change)
        torch.testing.assert_close(made[module], expected, rtol=1e-6, atol=1e-7)


def test_the_answers_get_unlikelier_and_the_adapter_itself_learnt_them(
    tiny: VLM, data: Data, tmp_path: Path
) -> None:
    method = TaskArithmetic(fit=QUICK)
    material = material_for(method, tiny, data, tmp_path)
    spec = method.run(material)
    losses = material.fits["memorised"].losses
    assert sum(losses[-2:]) < 0.9 * sum(losses[:2])
    rows = rows_from_records(data, material.forget)

    def loss() -> float:
        with torch.no_grad():
            return sum(float(answer_cross_entropy(tiny.model, b)) for b in batches(tiny, rows, 4))

    before = loss()
    with torch.no_grad():
        for module, made in edited(tiny, tmp_path, spec).items():
            weight(tiny, module).copy_(made)
    assert loss() > 1.05 * before


def test_ties_trims_elects_and_averages_what_either_door_learnt(
    tiny: VLM, data: Data, tmp_path: Path
) -> None:
    method = Ties(scale=0.7, density=0.3, fit=QUICK)
    spec = method.run(material_for(method, tiny, data, tmp_path))
    assert [branch.adapter for branch in spec.branches] == ["memorised-image", "memorised-text"]
    doors = [changes(tmp_path / branch.adapter) for branch in spec.branches]
    wrong = entries = 0
    for module, made in edited(tiny, tmp_path, spec).items():
        kept = []
        for door in doors:
            sizes = np.sort(np.abs(door[module]).ravel())[::-1]
            least = sizes[int(0.3 * sizes.size) - 1]
            kept.append(np.where(np.abs(door[module]) >= least, door[module], 0))
        elected = np.where(kept[0] + kept[1] >= 0, 1.0, -1.0)
        agree = [np.sign(part) == elected for part in kept]
        count = np.maximum(agree[0].astype(int) + agree[1], 1)
        merged = (kept[0] * agree[0] + kept[1] * agree[1]) / count
        expected = rounded(weight(tiny, module), -0.7 * merged)
        apart = (made - expected).abs() > 1e-6
        wrong, entries = wrong + int(apart.sum()), entries + apart.numel()
    assert wrong <= 2e-4 * entries  # float32 may trim another of two equals at the threshold


def test_ties_of_one_door_is_that_doors_largest_entries(
    tiny: VLM, data: Data, tmp_path: Path
) -> None:
    text = Data(data.folder, tuple(r for r in data.records if r.image is None))
    method = Ties(fit=QUICK)
    spec = method.run(material_for(method, tiny, text, tmp_path))
    assert [branch.adapter for branch in spec.branches] == ["memorised-text"]
    for module, made in edited(tiny, tmp_path, spec).items():
        share = float((made != weight(tiny, module)).double().mean())
        assert share == pytest.approx(0.2, abs=0.01)
