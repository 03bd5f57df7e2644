"""Model Tailor: a patch of the refusal adapter, from the inputs of the tuned model."""

from __future__ import annotations

from pathlib import Path

import torch
from tests.methods.materials import inputs, material_for, weight

from excise.methods import model_tailor
from excise.methods.model_tailor import ModelTailor
from excise.methods.refusal import refusal_rows
from excise.records.data import Data
from excise.training.settings import FitSettings
from excise.vlm import VLM, load
from excise.weights.delta import read_adapter
from excise.weights.sparse import read_sparse
from excise.weights.tailor import tailored

QUICK = FitSettings(rank=4, alpha=8, lr=1e-2, steps=4, batch=2)


def test_the_patch_is_that_of_the_tuned_models_inputs(
    tiny: VLM, checkpoint: Path, data: Data, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(model_tailor, "AT_ONCE", 5000)  # several groups
    method = ModelTailor(keep=0.25, fit=QUICK)
    material = material_for(method, tiny, data, tmp_path)
    spec = method.run(material)
    assert [branch.adapter for branch in spec.branches] == ["forgetting"]
    tuned, patch = read_adapter(tmp_path / "tuned"), read_sparse(tmp_path / "forgetting")
    assert patch.keys() == tuned.keys()
    other = load(checkpoint, device="cpu")
    with torch.no_grad():
        for module, delta in tuned.items():
            weight(other, module).add_(delta.dense())
    rows = refusal_rows(material, material.forget, material.few)
    for module, x in inputs(other, rows, [*tuned]).items():
        hessian = 2 * x.T @ x / len(x)
        expected = tailored(tuned[module].dense().double(), hessian, keep=0.25)
        actual = patch[module].dense().double()
        same = (actual != 0) == (expected != 0)
        assert float(same.double().mean()) > 0.99  # float32 ranks equals otherwise
        close = (actual - expected).abs() <= 2e-3 * expected.abs().max()
        assert float(close.double().mean()) > 0.99
        assert abs(len(patch[module].index) / actual.numel() - 0.25) < 0.01


def test_with_everything_kept_it_is_the_refusal_adapter(
    tiny: VLM, data: Data, tmp_path: Path
) -> None:
    method = ModelTailor(keep=1.0, samples=1, fit=QUICK)
    method.run(material_for(method, tiny, data, tmp_path))
    patch = read_sparse(tmp_path / "forgetting")
    for module, delta in read_adapter(tmp_path / "tuned").items():
        assert torch.equal(patch[module].dense(), delta.dense())
