"""SMFA's applied weights against the paper's equations, computed here in numpy and float64."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from excise.cli import main
from excise.methods import SMFA, forget, method
from excise.records.data import Data
from excise.records.record import Kind
from excise.vlm import VLM
from excise.weights.run import Run

Matrix = NDArray[np.float64]
Files = Callable[[Path], dict[str, str]]


def dense(folder: Path, module: str) -> Matrix:
    """Delta W = alpha / r * B A, from the adapter's own files."""
    config = json.loads((folder / "adapter_config.json").read_text())
    factors = load_file(folder / "adapter_model.safetensors")
    b, a = (factors[f"base_model.model.{module}.lora_{half}.weight"] for half in "BA")
    return config["lora_alpha"] / config["r"] * (b.astype(np.float64) @ a.astype(np.float64))


def sculpted(f: Matrix, a: Matrix, k: float, criterion: str) -> tuple[Matrix, NDArray[np.bool_]]:
    """Delta W'_f, and where the comparison of R is too close for float32 to be sure of it."""
    rho = np.linalg.norm(f) / (np.linalg.norm(a) + 1e-8)
    c = a * f < 0
    r = k * rho * np.abs(a) < np.abs(f)
    m = {"both": c & r, "direction": c, "magnitude": r, "none": np.zeros_like(c)}[criterion]
    close = np.abs(k * rho * np.abs(a) - np.abs(f)) < 1e-4 * np.abs(f)
    close |= np.minimum(np.abs(a), np.abs(f)) < 1e-8  # nor is the sign of a rounded zero sure
    return f * (1 - m), close


def check(run: Run, vlm: VLM) -> float:
    """Compare every adapted weight; returns the share of the changes that the mask cut."""
    before = {name: t.numpy().astype(np.float64) for name, t in vlm.model.state_dict().items()}
    with run.applied(vlm):
        after = {name: t.numpy().copy() for name, t in vlm.model.state_dict().items()}
    edit, cut, entries, largest = run.edit.as_json(), 0, 0, 0.0
    for module in run.info["targets"]:
        total, unsure = 0.0, np.False_
        for branch in edit["branches"]:
            f = dense(run.folder / branch["adapter"], module)
            anchor = dense(run.folder / "anchor", module)
            change, close = sculpted(f, anchor, branch["k"], edit["criterion"])
            cut += int((change != f).sum())
            entries += f.size
            total, unsure = total + change / len(edit["branches"]), unsure | close
        sure = ~unsure
        assert sure.mean() > 0.95
        largest = max(largest, float(np.abs(total).max()))
        name = f"{module}.weight"
        np.testing.assert_allclose(
            after[name][sure], (before[name] + total)[sure], rtol=0, atol=2e-6
        )
    share = cut / entries
    assert share == 1 or largest > 1e-3  # far above the tolerance
    return share


@pytest.mark.parametrize("criterion", ["both", "direction", "magnitude", "none"])
@pytest.mark.parametrize("k", [0.0, 0.7, 3.0])
def test_the_applied_weights_are_those_of_the_papers_equations(
    criterion: str, k: float, joint: Run, tiny: VLM
) -> None:
    share = check(joint.turned(k=k, criterion=criterion), tiny)  # type: ignore[arg-type]
    if criterion == "none":
        assert share == 0
    elif criterion == "direction":
        assert 0.05 < share < 0.95
    elif k == 0.7:
        assert 0.01 < share < 0.95


def test_separate_branches_are_sculpted_each_by_its_dial_and_averaged(
    separate: Run, tiny: VLM
) -> None:
    assert separate.edit.as_json()["branches"] == [
        {"adapter": "forgetting-image", "k": 0.5},
        {"adapter": "forgetting-text", "k": 2.0},
    ]
    names = sorted(path.name for path in separate.folder.iterdir() if path.is_dir())
    assert names == ["anchor", "forgetting-image", "forgetting-text"]
    assert 0.01 < check(separate, tiny) < 0.95
    check(separate.turned(k={"forgetting-text": 0.0}), tiny)


def test_each_branch_learns_from_its_own_door_and_the_anchor_from_both(
    tiny: VLM, data: Data, smfa: SMFA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: dict[str, set[tuple[str, Kind]]] = {}
    by_id = {record.id: record for record in data.records}
    fit = method.fit

    def spy(vlm, rows, *, out, **rest):  # type: ignore[no-untyped-def]
        asked = [by_id[str(turn.record)] for row in rows for turn in row.turns]
        kinds[out.name] = {(record.split, record.kind) for record in asked}
        return fit(vlm, rows, out=out, **rest)

    monkeypatch.setattr(method, "fit", spy)
    quick = smfa.fit.model_copy(update={"steps": 1})
    how = smfa.model_copy(update={"branches": "separate", "fit": quick})
    forget(tiny, data, method=how, out=tmp_path / "run")
    few = {("few", k) for k in ("image_memory", "image_understanding", "text_memory")}
    assert kinds == {
        "forgetting-image": {
            ("forget", "image_memory"),
            ("few", "image_memory"),
            ("few", "image_understanding"),
        },
        "forgetting-text": {("forget", "text_memory"), ("few", "text_memory")},
        "anchor": few,
    }


def test_a_branch_without_anything_to_forget_is_not_trained(
    tiny: VLM, data: Data, smfa: SMFA, tmp_path: Path
) -> None:
    text = Data(
        data.folder,
        tuple(r for r in data.records if r.split != "forget" or r.kind == "text_memory"),
    )
    how = smfa.model_copy(update={"branches": "separate"})
    run = forget(tiny, text, method=how, out=tmp_path / "run")
    assert [branch.adapter for branch in run.edit.branches] == ["forgetting-text"]
    assert not (run.folder / "forgetting-image").exists()


def test_the_anchor_has_settings_of_its_own(
    tiny: VLM, data: Data, smfa: SMFA, tmp_path: Path
) -> None:
    own = smfa.fit.model_copy(update={"steps": 2, "rank": 2})
    run = forget(tiny, data, method=smfa.model_copy(update={"anchor": own}), out=tmp_path / "run")
    assert {name: len(losses) for name, losses in run.info["losses"].items()} == {
        "forgetting": 4,
        "anchor": 2,
    }
    assert json.loads((run.folder / "anchor" / "adapter_config.json").read_text())["r"] == 2


def weights_under(run: Run, vlm: VLM) -> dict[str, torch.Tensor]:
    with run.applied(vlm):
        return {name: tensor.clone() for name, tensor in vlm.model.state_dict().items()}


def test_a_very_large_k_is_the_plain_adapter(joint: Run, separate: Run, tiny: VLM) -> None:
    for run in (joint, separate):
        plain = weights_under(run.turned(criterion="none"), tiny)
        loose = weights_under(run.turned(k=1e30), tiny)
        assert all(torch.equal(loose[name], plain[name]) for name in plain)
        tight = weights_under(run.turned(k=0), tiny)
        assert any(not torch.equal(tight[name], plain[name]) for name in plain)


def test_a_smaller_k_cuts_more(joint: Run, tiny: VLM) -> None:
    cut = [joint.turned(k=k).energy_map(tiny)["share_cut"] for k in (8, 3, 1, 0.3, 0)]
    assert cut == sorted(cut) and cut[0] < cut[-1]
    whole = joint.turned(criterion="direction").energy_map(tiny)["share_cut"]
    assert cut[-1] == pytest.approx(whole)  # k = 0 is the direction test alone


def test_the_dial_turns_without_training_and_touches_edit_json_only(
    joint: Run,
    tiny: VLM,
    monkeypatch: pytest.MonkeyPatch,
    hashes: Files,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(method, "fit", None)
    folder = Path(shutil.copytree(joint.folder, tmp_path / "run"))
    before, then = hashes(folder), weights_under(joint, tiny)
    assert main(["sculpt", str(folder), "-o", "k=0.25", "-o", "criterion=magnitude"]) == 0
    assert f"run: {folder}" in capsys.readouterr().out
    after = hashes(folder)
    assert after.keys() == before.keys()
    assert [name for name in after if after[name] != before[name]] == ["edit.json"]
    turned = Run.load(folder)
    assert turned.edit.branches[0].k == 0.25 and turned.edit.criterion == "magnitude"
    now = weights_under(turned, tiny)
    assert any(not torch.equal(now[name], then[name]) for name in now)
    assert main(["sculpt", str(folder), "-o", "k=1", "-o", "criterion=both"]) == 0
    back = weights_under(Run.load(folder), tiny)
    assert all(torch.equal(back[name], then[name]) for name in then)


def test_each_branch_has_a_dial_on_the_command_line(separate: Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(separate.folder, tmp_path / "run"))
    assert main(["sculpt", str(folder), "-o", "k.forgetting-text=7"]) == 0
    assert {b.adapter: b.k for b in Run.load(folder).edit.branches} == {
        "forgetting-image": 0.5,
        "forgetting-text": 7.0,
    }
