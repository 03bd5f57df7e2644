"""A sculpted change as a LoRA: as near as its rank allows, and read by PEFT as it is meant."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tests.weights.exporting import LAYER, write_run
from torch import Tensor

from excise.cli import main
from excise.records.errors import InputError
from excise.vlm import load
from excise.weights import lora_again_folder
from excise.weights.delta import read_adapter
from excise.weights.export import export
from excise.weights.lora_again import factor
from excise.weights.run import Run
from excise.weights.tiles import delta_tiles
from excise.weights.verify import VerificationFailed


def tiles(dense: Tensor, rows: int = 7):
    buffer = torch.empty(rows, dense.shape[1])

    def one_pass():
        for start in range(0, len(dense), rows):
            part = dense[start : start + rows]
            buffer[: len(part)] = part  # reused, as the engine reuses its own
            yield slice(start, start + len(part)), buffer[: len(part)]
            buffer.fill_(float("nan"))

    return one_pass


def masked(seed: int, shape: tuple[int, int] = (90, 61)) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    f, a = torch.randn(2, shape[0], 4, generator=g) @ torch.randn(2, 4, shape[1], generator=g)
    return f.masked_fill((f * a < 0) & (f.abs() > 2 * a.abs()), 0.0)


@pytest.mark.parametrize("rank", [1, 4, 16, 61])
def test_factors_are_nearly_as_near_as_the_best_of_their_rank(rank) -> None:
    dense = masked(0)
    made = factor(tiles(dense), (90, 61), rank=rank, most=512, seed=0)
    best = float(torch.linalg.svdvals(dense.double())[rank:].square().sum().sqrt())
    actual = float((dense - made.b @ made.a).norm())
    assert (made.b.shape, made.a.shape) == ((90, rank), (rank, 61))
    assert made.error == pytest.approx(actual, rel=1e-4, abs=1e-4)  # measured, not estimated
    assert made.norm == pytest.approx(float(dense.norm()), rel=1e-6)
    assert actual <= 1.02 * best + 1e-5 * made.norm


@pytest.mark.parametrize("tolerance", [0.5, 0.2, 0.05, 1e-3])
def test_a_tolerance_takes_the_smallest_rank_that_meets_it(tolerance) -> None:
    dense = masked(1)
    made = factor(tiles(dense), (90, 61), tolerance=tolerance, most=512, seed=0)
    s = torch.linalg.svdvals(dense.double())
    left = (s.flip(0).square().cumsum(0).sqrt().flip(0)) / s.norm()
    best = int((left > tolerance).sum())  # the error of rank r is left[r]
    assert made.relative_error <= tolerance
    assert best <= made.rank <= best + 2


def test_a_tolerance_out_of_reach_is_not_met_silently() -> None:
    assert factor(tiles(masked(1)), (90, 61), tolerance=0.01, most=8, seed=0) is None


def test_the_same_seed_gives_the_same_factors_and_low_rank_is_exact() -> None:
    g = torch.Generator().manual_seed(3)
    dense = torch.randn(40, 3, generator=g) @ torch.randn(3, 30, generator=g)
    one, two = (factor(tiles(dense), (40, 30), tolerance=1e-3, most=30, seed=5) for _ in "12")
    assert one.rank == 3 and one.relative_error < 1e-5
    assert torch.equal(one.a, two.a) and torch.equal(one.b, two.b)


def test_a_change_of_zero_has_factors_of_zero() -> None:
    made = factor(tiles(torch.zeros(9, 5)), (9, 5), tolerance=0.1, most=5, seed=0)
    assert (made.norm, made.error, made.relative_error) == (0.0, 0.0, 0.0)
    assert not (made.b @ made.a).any()


@pytest.fixture(scope="module")
def adapter(sharded: Path, small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run within an error of .2, ranks as each module needs them, verified."""
    out = tmp_path_factory.mktemp("adapters") / "lora"
    return export(small_run, sharded, out, as_="lora", tolerance=0.2).folder


def test_peft_adds_what_the_export_says(adapter, sharded, small_run) -> None:
    run, info = Run.load(small_run), json.loads((adapter / "export.json").read_text())
    before = load(sharded, dtype="float32", device="cpu").model.state_dict()
    model = PeftModel.from_pretrained(load(sharded, device="cpu").model, str(adapter))
    after = model.merge_and_unload().state_dict()
    norm = error = 0.0
    for module in run.source().shapes:
        change = torch.cat([t.clone() for _, t in delta_tiles(run.source(), module, run.edit)])
        served = after[f"{module}.weight"] - before[f"{module}.weight"]
        relative = float((served - change).norm() / change.norm())
        assert relative == pytest.approx(
            info["lora"]["modules"][module]["relative_error"], rel=1e-2, abs=1e-5
        )
        norm, error = norm + float(change.norm()) ** 2, error + float((served - change).norm()) ** 2
    assert (error / norm) ** 0.5 == pytest.approx(info["lora"]["relative_error"], rel=1e-2)
    assert {k for k in before if not torch.equal(before[k], after[k])} == {
        f"{module}.weight" for module in run.source().shapes
    }


def test_scale_is_one_for_every_reader(adapter) -> None:
    """PEFT scales by alpha_pattern over rank_pattern, vLLM by lora_alpha over r for all modules."""
    config = json.loads((adapter / "adapter_config.json").read_text())
    ranks = {module: delta.a.shape[0] for module, delta in read_adapter(adapter).items()}
    assert len(set(ranks.values())) > 1
    assert all(delta.scale == 1.0 for delta in read_adapter(adapter).values())
    assert config["lora_alpha"] == config["r"] == max(ranks.values())
    assert config["rank_pattern"] == config["alpha_pattern"]
    assert set(config["target_modules"]) == set(ranks)
    assert config["base_model_name_or_path"] is None and not config["use_rslora"]
    for key in load_file(adapter / "adapter_model.safetensors"):
        assert key.startswith("base_model.model.model.language_model.layers.")
        assert key.endswith((".lora_A.weight", ".lora_B.weight"))


def test_the_adapters_outputs_were_compared_in_the_light_of_its_error(adapter) -> None:
    outputs = json.loads((adapter / "export.json").read_text())["verification"]["outputs"]
    assert outputs["compared"]
    assert 0 < outputs["rms_logit_difference"] <= outputs["tolerance_rms"]
    assert outputs["tolerance_rms"] < outputs["run_moves_logits_by_rms"]
    assert not (adapter / "config.json").exists()


def test_one_rank_for_all_is_the_largest_needed(adapter, sharded, small_run, tmp_path) -> None:
    made = export(
        small_run,
        sharded,
        tmp_path / "lora",
        as_="lora",
        tolerance=0.2,
        uniform_rank=True,
        outputs=False,
    )
    largest = json.loads((adapter / "export.json").read_text())["lora"]["rank"]["largest"]
    assert made.info["lora"]["rank"] == {"largest": largest, "smallest": largest}
    assert made.info["lora"]["relative_error"] < 0.2
    config = json.loads((made.folder / "adapter_config.json").read_text())
    assert config["r"] == largest and config["rank_pattern"] == {}


def test_a_plain_adapter_comes_back_as_itself(sharded, tmp_path) -> None:
    run = write_run(tmp_path / "run", sharded, {LAYER: (32, 32)}, criterion="none", r=3)
    made = export(run, sharded, tmp_path / "out", as_="lora", tolerance=1e-3, outputs=False)
    assert made.info["lora"]["modules"][LAYER]["rank"] == 3
    assert made.info["lora"]["relative_error"] < 1e-5
    ours, theirs = read_adapter(made.folder)[LAYER], read_adapter(run / "forgetting")[LAYER]
    torch.testing.assert_close(ours.dense(), theirs.dense(), atol=1e-5, rtol=1e-4)


def test_modules_that_are_cut_to_zero_get_no_adapter_and_are_counted(sharded, tmp_path) -> None:
    other = LAYER.replace("layers.0", "layers.1")
    run = write_run(tmp_path / "run", sharded, {LAYER: (32, 32), other: (32, 32)})
    path = run / "forgetting" / "adapter_model.safetensors"
    tensors = load_file(path)
    tensors[f"base_model.model.{other}.lora_B.weight"].zero_()
    save_file(tensors, path)
    made = export(run, sharded, tmp_path / "out", as_="lora", rank=4, outputs=False)
    assert list(read_adapter(made.folder)) == [LAYER]
    assert made.info["verification"]["tensors"]["modules_cut_to_zero"] == 1


def test_a_tolerance_out_of_reach_names_the_module(
    sharded, small_run, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(lora_again_folder, "MOST", 2)
    with pytest.raises(InputError, match=r"_proj: no rank up to 2 is within .* of 0\.01"):
        export(small_run, sharded, tmp_path / "out", as_="lora", tolerance=0.01)
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_that_peft_would_not_load_is_never_called_done(
    sharded, small_run, tmp_path, monkeypatch
) -> None:
    real = PeftModel.from_pretrained

    def deaf(model, folder):  # as after a rename upstream: loads nothing and says no more
        wrapped = real(model, folder)
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.data.zero_()
        return wrapped

    monkeypatch.setattr(PeftModel, "from_pretrained", staticmethod(deaf))
    with pytest.raises(VerificationFailed, match=r"PEFT did not load base_model\.model\..*lora_B"):
        export(small_run, sharded, tmp_path / "out", as_="lora", rank=4)
    assert list(tmp_path.iterdir()) == []


def test_the_wrong_base_is_refused_before_factoring(sharded, small_run, tmp_path) -> None:
    other = shutil.copytree(sharded, tmp_path / "other")
    shard = sorted(other.glob("*.safetensors"))[0]
    data = bytearray(shard.read_bytes())
    data[-2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(InputError, match="made for a base model with weights"):
        export(small_run, other, tmp_path / "out", as_="lora", rank=2)


def test_the_command_tells_rank_and_error(sharded, small_run, tmp_path, capsys) -> None:
    words = ["export", str(small_run), "--as", "lora", "--model", str(sharded), "--rank", "6"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "adapter: 14 modules, relative error 0." in said and "rank: 6, " in said
    assert main(["verify", str(tmp_path / "out"), str(small_run), "--model", str(sharded)]) == 0
    assert f"verified: {tmp_path / 'out'}" in capsys.readouterr().out
