"""Refusal tuning without the mask: the published baseline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from excise.methods import SMFA, Refusal, forget
from excise.records.data import Data
from excise.records.errors import InputError
from excise.vlm import VLM
from excise.weights.run import Run


def test_refusal_tuning_is_the_forgetting_adapter_applied_as_it_is(
    tiny: VLM, data: Data, smfa: SMFA, joint: Run, tmp_path: Path
) -> None:
    run = forget(tiny, data, method=Refusal(fit=smfa.fit), out=tmp_path / "run", seed=3)
    assert run.edit.criterion == "none" and run.edit.anchor is None
    assert [branch.adapter for branch in run.edit.branches] == ["forgetting"]
    assert sorted(p.name for p in run.folder.iterdir()) == ["edit.json", "forgetting", "run.json"]

    factors = load_file(run.folder / "forgetting" / "adapter_model.safetensors")
    before = {name: t.numpy().copy() for name, t in tiny.model.state_dict().items()}
    with run.applied(tiny):
        after = {name: t.numpy().copy() for name, t in tiny.model.state_dict().items()}
    for target in run.info["targets"]:
        key = f"base_model.model.{target}.lora_"
        change = 2.0 * (  # alpha 8 over rank 4
            factors[f"{key}B.weight"].astype(float) @ factors[f"{key}A.weight"].astype(float)
        )
        assert np.abs(change).max() > 1e-4
        expected = before[f"{target}.weight"].astype(float) + change
        np.testing.assert_allclose(after[f"{target}.weight"], expected, rtol=0, atol=1e-6)

    # It is what SMFA starts from, and has no dial of its own.
    file = "forgetting/adapter_model.safetensors"
    assert (run.folder / file).read_bytes() == (joint.folder / file).read_bytes()
    with pytest.raises(InputError, match="needs an anchor"):
        run.turned(k=2, criterion="both")
