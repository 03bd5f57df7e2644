"""MMUnlearner: the mask from gradients taken one by one, and the masked gradient of a step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.methods.materials import material_for
from torch import Tensor

from excise.methods import mmunlearner
from excise.methods.mmunlearner import MMUnlearner
from excise.records.data import Data
from excise.training import answer_cross_entropy
from excise.training.answers import Answers
from excise.training.loss import answer_logprobs
from excise.training.selection import Selection
from excise.training.settings import FitSettings
from excise.vlm import VLM, Packer, Row, linear_targets, load, rows_from_records
from excise.weights.sparse import read_sparse

QUICK = FitSettings(lr=1e-3, steps=3, batch=2)


def fisher(vlm: VLM, rows: list[Row]) -> dict[str, Tensor]:
    """Squares of gradients of two rows at a time, by plain autograd."""
    packer, names = Packer(vlm.processor, vlm.model), linear_targets(vlm.model, vlm.parts)
    sums = dict.fromkeys(names, 0.0)
    starts = range(0, len(rows), 2)
    for start in starts:
        vlm.model.zero_grad()
        batch = packer.collate([packer.encode(row) for row in rows[start : start + 2]])
        answer_cross_entropy(vlm.model, batch).backward()
        for name in names:
            sums[name] += vlm.model.get_parameter(f"{name}.weight").grad.double() ** 2 / len(starts)
    vlm.model.zero_grad()
    return sums  # type: ignore[return-value]


@pytest.mark.parametrize("share", [1.0, 0.2])
def test_the_ascent_may_change_what_matters_more_to_the_forget_set(
    share: float, tiny: VLM, data: Data, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(mmunlearner, "AT_ONCE", 5000)  # several groups
    method = MMUnlearner(entries=share, threshold=1.5, fit=QUICK)
    material = material_for(method, tiny, data, tmp_path)
    chosen, masks = method._chosen(material)
    ours = fisher(tiny, rows_from_records(data, material.forget))
    theirs = fisher(tiny, rows_from_records(data, material.few))
    for name, places in chosen.items():
        ratio = ((ours[name] + 1e-15) / (theirs[name] + 1e-15)).view(-1)
        assert len(places) == int(share * len(ratio))
        if share < 1:
            assert float(ratio[places.long()].min()) >= float(ratio.quantile(1 - share)) * 0.99
        near = ((ratio / 1.5).log().abs() < 1e-3)[places.long()]
        assert torch.equal(masks[name][~near], (ratio >= 1.5)[places.long()][~near])
        assert 0 < int(masks[name].sum()) <= len(places)


def test_a_steps_gradient_is_the_published_one(tiny: VLM, data: Data, tmp_path: Path) -> None:
    method = MMUnlearner(forget=0.7, fit=QUICK)
    material = material_for(method, tiny, data, tmp_path)
    chosen, masks = method._chosen(material)
    rows = [
        *rows_from_records(data, material.forget, role="forget")[:2],
        *rows_from_records(data, material.few, role="keep")[:2],
    ]
    packer = Packer(tiny.processor, tiny.model)
    batch = packer.collate([packer.encode(row) for row in rows])
    with Selection(chosen).attached(tiny.model) as selected:
        loss = method.loss(selected, batch, masks)  # type: ignore[arg-type]
        loss.backward()
        found = {n: v.grad for n, v in zip(selected.names, selected.values, strict=True)}

    parts: dict[str, dict[str, Tensor]] = {}
    values = {}
    for role, sign in (("forget", -1.0), ("keep", -1.0)):
        tiny.model.zero_grad()
        answers, logprobs = Answers(batch), answer_logprobs(tiny.model, batch)
        term = sign * answers.mean(logprobs, role)  # L_f, L_r
        term.backward()
        values[role] = term.item()
        parts[role] = {
            name: tiny.model.get_parameter(f"{name}.weight").grad.clone() for name in chosen
        }
    assert loss.item() == pytest.approx(values["keep"] - 0.7 * values["forget"], rel=1e-5)
    for name, mask in masks.items():
        masked = mask.view(parts["keep"][name].shape)
        expected = parts["keep"][name] - 0.7 * masked * parts["forget"][name]
        torch.testing.assert_close(found[name].view_as(expected), expected, rtol=1e-4, atol=1e-6)
        assert bool(mask.any()) and not bool(mask.all())


def test_a_run_changes_what_it_may_and_pushes_the_answers_down(
    tiny: VLM, checkpoint: Path, data: Data, tmp_path: Path
) -> None:
    method = MMUnlearner(entries=0.2, fit=FitSettings(lr=3e-3, steps=8, batch=4))
    material = material_for(method, tiny, data, tmp_path)
    chosen, _ = method._chosen(material)
    method.run(material)
    changes = read_sparse(tmp_path / "forgetting")
    assert all(torch.equal(changes[name].index, chosen[name]) for name in chosen)
    other = load(checkpoint, device="cpu")
    packer = Packer(tiny.processor, tiny.model)

    def loss(records: list) -> float:
        batch = packer.collate([packer.encode(r) for r in rows_from_records(data, records)])
        with torch.no_grad():
            return float(answer_cross_entropy(other.model, batch))

    before = loss([*material.forget]), loss([*material.few])
    with torch.no_grad():
        for name, change in changes.items():
            other.model.get_parameter(f"{name}.weight").add_(change.dense())
    after = loss([*material.forget]), loss([*material.few])
    assert after[0] - before[0] > after[1] - before[1]


def test_gradient_checkpointing_takes_the_masked_gradient_too(
    tiny: VLM, data: Data, tmp_path: Path
) -> None:
    made = []
    for name, on in (("a", False), ("b", True)):
        fit = FitSettings(lr=1e-3, steps=2, batch=2, gradient_checkpointing=on)
        method = MMUnlearner(entries=0.2, fit=fit)
        method.run(material_for(method, tiny, data, tmp_path / name))
        made.append(read_sparse(tmp_path / name / "forgetting"))
    for name, change in made[0].items():
        torch.testing.assert_close(change.values, made[1][name].values, rtol=1e-3, atol=1e-6)
