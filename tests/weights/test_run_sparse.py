"""A run whose branch is a sparse change: applied, removed, mapped, exported and verified."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.weights.exporting import touched, write_run

from excise.records.errors import InputError
from excise.vlm import load
from excise.weights.edit import edited_deltas
from excise.weights.export import export
from excise.weights.run import Run, combine
from excise.weights.sparse import Sparse, read_sparse, write_sparse
from excise.weights.verify import verify


@pytest.fixture
def sparse_run(sharded: Path, tmp_path: Path) -> Path:
    """A tenth of the entries of all linear layers changed, in place of the adapters."""
    shapes = touched(sharded)
    folder = write_run(tmp_path / "run", sharded, shapes)
    generator = torch.Generator().manual_seed(0)
    changes = {}
    for module, shape in shapes.items():
        chosen = torch.rand(shape, generator=generator) < 0.1
        changes[module] = Sparse.of(torch.randn(shape, generator=generator) * chosen)
    write_sparse(folder / "sparse", changes, "base")
    edit = {"schema": "excise.edit/1", "criterion": "none", "branches": [{"adapter": "sparse"}]}
    (folder / "edit.json").write_text(json.dumps(edit))
    return folder


def test_it_is_applied_and_removed_bit_for_bit(sharded: Path, sparse_run: Path) -> None:
    vlm = load(sharded, dtype="bfloat16", device="cpu")
    before = {name: tensor.clone() for name, tensor in vlm.model.state_dict().items()}
    changes = read_sparse(sparse_run / "sparse")
    with Run.load(sparse_run).applied(vlm):
        for module, change in changes.items():
            weight = vlm.model.get_parameter(f"{module}.weight")
            old = before[f"{module}.weight"]
            assert torch.equal(weight, (old.float() + change.dense()).bfloat16())
    assert all(torch.equal(t, before[name]) for name, t in vlm.model.state_dict().items())


def test_its_counts_and_energies_are_those_of_the_entries(sharded: Path, sparse_run: Path) -> None:
    vlm, run = load(sharded, dtype="bfloat16", device="cpu"), Run.load(sparse_run)
    changes = read_sparse(sparse_run / "sparse")
    entries = sum(len(change.index) for change in changes.values())
    counts, table = combine(run, vlm), run.energy_map(vlm)
    assert counts["entries_changed"] == entries and counts["modules"] == len(changes)
    energy = sum(change.norm() ** 2 for change in changes.values())
    assert sum(map(sum, table["energy_after"])) == pytest.approx(energy, rel=1e-6)
    for module, delta in edited_deltas(run.folder, run.edit):
        assert torch.equal(delta, changes[module].dense())


@pytest.mark.parametrize("kind", ["merged", "lora"])
def test_its_exports_are_verified(
    kind: str, sharded: Path, sparse_run: Path, tmp_path: Path
) -> None:
    more = {} if kind == "merged" else {"rank": 32}
    made = export(sparse_run, sharded, tmp_path / kind, as_=kind, **more)  # type: ignore[arg-type]
    assert made.info["verification"]["passed"] and made.info["verification"]["outputs"]["compared"]
    assert verify(made.folder, sparse_run, sharded).passed
    if kind == "merged":
        vlm = load(sharded, dtype="bfloat16", device="cpu")
        Run.load(sparse_run).apply(vlm)
        exported = load(made.folder, dtype="bfloat16", device="cpu").model.state_dict()
        assert all(torch.equal(t, exported[name]) for name, t in vlm.model.state_dict().items())


def test_an_export_is_held_against_the_entries(
    sharded: Path, sparse_run: Path, tmp_path: Path
) -> None:
    made = export(sparse_run, sharded, tmp_path / "merged", outputs=False)
    changes = read_sparse(sparse_run / "sparse")
    module, change = next(iter(changes.items()))
    changes[module] = Sparse(change.shape, change.index[1:], change.values[1:])
    write_sparse(sparse_run / "sparse", changes, "base")
    found = verify(made.folder, sparse_run, sharded)
    assert [problem for problem in found.problems if "1 of" in problem and "base + run" in problem]


@pytest.mark.parametrize("file", ["sparse.json", "sparse.safetensors"])
def test_a_run_with_half_a_sparse_change_is_refused(file: str, sparse_run: Path) -> None:
    (sparse_run / "sparse" / file).unlink()
    with pytest.raises(InputError, match=rf"{file}: no such file; edit\.json names it"):
        Run.load(sparse_run)


def test_a_branch_of_both_kinds_is_refused(sparse_run: Path) -> None:
    (sparse_run / "forgetting" / "sparse.json").write_text("{}")
    edit = json.loads((sparse_run / "edit.json").read_text())
    edit["branches"] = [{"adapter": "forgetting"}]
    (sparse_run / "edit.json").write_text(json.dumps(edit))
    with pytest.raises(InputError, match="a LoRA and a sparse change"):
        Run.load(sparse_run)


def test_branches_that_disagree_on_a_shape_are_refused(sparse_run: Path) -> None:
    module = next(iter(read_sparse(sparse_run / "sparse")))
    change = Sparse((2, 2), torch.tensor([0], dtype=torch.int32), torch.ones(1))
    write_sparse(sparse_run / "other", {module: change}, "base")
    edit = json.loads((sparse_run / "edit.json").read_text())
    edit["branches"] = [{"adapter": "sparse"}, {"adapter": "other"}]
    (sparse_run / "edit.json").write_text(json.dumps(edit))
    with pytest.raises(InputError, match=r"shape \(2, 2\); another adapter has"):
        Run.load(sparse_run).source()
