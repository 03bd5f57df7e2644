"""Verification finds what was spoilt: a key, a number, a file, another run, another answer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.weights.exporting import LAYER, touched, write_run
from torch import Tensor

import excise
from excise.cli import main
from excise.records.errors import InputError
from excise.weights import verify_outputs
from excise.weights.export import export
from excise.weights.run import Run
from excise.weights.verify import verify
from excise.weights.verify_outputs import Difference, Said, drawn_probes

Q = "language_model.model.layers.0.self_attn.q_proj.weight"
NORM = "language_model.model.layers.0.input_layernorm.weight"


@pytest.fixture
def spoilt(merged: Path, tmp_path: Path) -> Path:
    """A copy of the merged export without its manifest, to be spoilt by a test."""
    folder = shutil.copytree(merged, tmp_path / "spoilt")
    (folder / "export.json").unlink()
    return folder


def change(folder: Path, what: Callable[[dict[str, Tensor]], None]) -> None:
    """Change the tensors of the folder's files, as if it had been made so."""
    index = folder / "model.safetensors.index.json"
    where = json.loads(index.read_text())["weight_map"]
    tensors: dict[str, Tensor] = {}
    for path in folder.glob("*.safetensors"):
        tensors |= load_file(path)
    what(tensors)
    where = {key: where.get(key, min(where.values())) for key in tensors}
    for file in set(where.values()):
        part = {key: tensor for key, tensor in tensors.items() if where[key] == file}
        save_file(part, folder / file, metadata={"format": "pt"})
    index.write_text(json.dumps({"metadata": {}, "weight_map": where}))


def test_a_good_export_passes_and_may_be_sharded_otherwise(
    spoilt, merged, small_run, sharded
) -> None:
    tensors: dict[str, Tensor] = {}
    for path in spoilt.glob("*.safetensors*"):
        tensors |= load_file(path) if path.suffix == ".safetensors" else {}
        path.unlink()
    save_file(tensors, spoilt / "model.safetensors", metadata={"format": "pt"})
    found = excise.verify(spoilt, small_run, sharded)
    assert found.passed and found.problems == []
    assert found.tensors["edited"] == 14 and found.tensors["total"] == len(tensors)
    assert found.outputs["largest_logit_difference"] == 0.0
    assert found.outputs["first_differing_answer"] is None


@pytest.mark.parametrize(
    ("name", "what", "problem"),
    [
        ("a missing key", lambda t: t.pop(NORM), f"{NORM}: missing"),
        ("an extra key", lambda t: t.update(extra=torch.zeros(2)), "extra: extra"),
        ("one bit elsewhere", lambda t: t[NORM].view(torch.int16)[3:4].add_(1), f"{NORM}: differs"),
        ("one bit edited", lambda t: t[Q].view(torch.int16)[0, :1].add_(1), f"{Q}: 1 of 1024"),
        ("zeros", lambda t: t[Q].zero_(), f"{Q}: "),
        ("another type", lambda t: t.update({Q: t[Q].float()}), f"{Q}: is F32"),
        ("another shape", lambda t: t.update({Q: t[Q][:8].clone()}), f"{Q}: is BF16 (8, 32)"),
    ],
)
def test_every_key_and_number_is_accounted_for(
    name, what, problem, spoilt, small_run, sharded
) -> None:
    change(spoilt, what)
    found = verify(spoilt, small_run, sharded)
    assert not found.passed
    assert [text for text in found.problems if text.startswith(problem)], found.problems
    assert len(found.problems) == 1
    assert not found.outputs["compared"]  # a broken export is not even loaded


def test_a_memory_that_came_back_is_said_to_be_the_bases(spoilt, small_run, sharded) -> None:
    base = next(t[Q] for t in map(load_file, sharded.glob("*.safetensors")) if Q in t)
    change(spoilt, lambda tensors: tensors.update({Q: base}))
    [problem] = verify(spoilt, small_run, sharded).problems
    assert problem.startswith(f"{Q}: ") and problem.endswith("(it is the base's)")


def test_a_change_that_is_lost_in_rounding_is_a_problem(sharded, tmp_path) -> None:
    run = write_run(tmp_path / "run", sharded, {LAYER: (32, 32)})
    path = run / "forgetting" / "adapter_model.safetensors"
    save_file({key: tensor * 1e-6 for key, tensor in load_file(path).items()}, path)
    with pytest.raises(excise.weights.verify.VerificationFailed, match="lost in rounding to BF16"):
        export(run, sharded, tmp_path / "out")


def test_a_changed_file_beside_the_weights_is_named(merged, small_run, sharded, tmp_path) -> None:
    folder = shutil.copytree(merged, tmp_path / "out")
    (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text() + " ")
    (folder / "chat_template.jinja").unlink()
    problems = verify(folder, small_run, sharded).problems
    assert problems == [
        "chat_template.jinja: missing; export.json lists it",
        "tokenizer.json: changed since the export",
    ]


def test_another_dial_is_another_run(merged, small_run, sharded) -> None:
    turned = Run.load(small_run).turned(k=0.1)
    problems = verify(merged, turned, sharded).problems
    assert problems[0].startswith("export.json: is of run smfa-")
    assert any(f"{Q}: " in problem for problem in problems)


def test_the_same_weights_that_answer_otherwise_do_not_pass(spoilt, small_run, sharded) -> None:
    config = json.loads((spoilt / "config.json").read_text())
    config["text_config"]["rms_norm_eps"] = 0.5
    (spoilt / "config.json").write_text(json.dumps(config))
    found = verify(spoilt, small_run, sharded)
    assert not found.passed and found.outputs["compared"]
    assert "logits differ by up to" in found.problems[0]


def test_an_export_that_cannot_be_loaded_does_not_pass(spoilt, small_run, sharded) -> None:
    (spoilt / "processor_config.json").unlink()
    (spoilt / "tokenizer.json").unlink()
    found = verify(spoilt, small_run, sharded)
    assert "cannot be loaded" in found.problems[0]


def test_a_damaged_file_of_an_export_does_not_pass(spoilt, small_run, sharded, capsys) -> None:
    shard = min(spoilt.glob("*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-1])
    assert main(["verify", str(spoilt), str(small_run), "--model", str(sharded)]) == 1
    said = capsys.readouterr()
    assert "tensors: NOT compared" in said.out and f"{shard.name}: truncated" in said.out


def test_a_model_too_large_for_the_memory_is_said_to_be_uncompared(
    merged, small_run, sharded, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(verify_outputs, "free_memory", lambda: 1000)
    monkeypatch.setattr("excise.weights.verify.free_memory", lambda: 1000)
    assert main(["verify", str(merged), str(small_run), "--model", str(sharded)]) == 0
    assert "outputs: NOT compared: the model needs" in capsys.readouterr().out


@pytest.fixture(scope="module")
def adapter(sharded: Path, small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("adapters") / "lora"
    return export(small_run, sharded, out, as_="lora", rank=8, outputs=False).folder


A, B = (f"base_model.model.{LAYER}.lora_{half}.weight" for half in "AB")


@pytest.mark.parametrize(
    ("name", "what", "problem"),
    [
        ("a missing pair", lambda t: (t.pop(A), t.pop(B)), f"{LAYER}: missing"),
        ("a pair of zeros", lambda t: t[B].zero_(), f"{LAYER}: the adapter is zero"),
        ("the wrong sign", lambda t: t[B].neg_(), f"{LAYER}: is further from"),
    ],
)
def test_every_pair_of_an_adapter_is_accounted_for(
    name, what, problem, adapter, small_run, sharded, tmp_path
) -> None:
    folder = shutil.copytree(adapter, tmp_path / "lora")
    (folder / "export.json").unlink()
    tensors = load_file(folder / "adapter_model.safetensors")
    what(tensors)
    save_file(tensors, folder / "adapter_model.safetensors")
    found = verify(folder, small_run, sharded)
    assert [text.startswith(problem) for text in found.problems] == [True]


def test_an_adapter_scaled_away_is_found_by_what_the_model_says(
    adapter, small_run, sharded, tmp_path
) -> None:
    folder = shutil.copytree(adapter, tmp_path / "lora")
    (folder / "export.json").unlink()
    config = json.loads((folder / "adapter_config.json").read_text())
    config["lora_alpha"] = config["lora_alpha"] / 50
    config["alpha_pattern"] = {}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    found = verify(folder, small_run, sharded)
    assert found.outputs["compared"]
    assert found.problems and "where the run itself moves them by" in found.problems[0]


def test_probes_from_data_are_named_by_record_and_never_quoted(
    spoilt, small_run, sharded, tmp_path, capsys
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    record = {"subject": "p1", "split": "forget", "kind": "text_memory", "image": None}
    record |= {"question": "Where does Vera live?", "answer": "Riga"}
    lines = [json.dumps({"id": f"r{i}", **record}) for i in range(3)]
    (data / "records.jsonl").write_text("\n".join(lines))
    config = json.loads((spoilt / "config.json").read_text())
    config["text_config"]["rms_norm_eps"] = 0.5
    (spoilt / "config.json").write_text(json.dumps(config))
    words = ["verify", str(spoilt), str(small_run), "--model", str(sharded), "--data", str(data)]
    assert main(words) == 1
    said = capsys.readouterr()
    assert "3 probes" in said.out and "the first other answer is to r" in said.out
    assert "verification failed" in said.err
    assert "Vera" not in said.out + said.err and "Riga" not in said.out + said.err


def test_the_first_other_answer_is_named() -> None:
    probes = drawn_probes()
    one = Said(tuple(torch.zeros(2, 5) for _ in probes), tuple("a" for _ in probes))
    logits = tuple(torch.full((2, 5), float(i == 3)) for i in range(len(probes)))
    two = Said(logits, tuple("ab"[i >= 3] for i in range(len(probes))))
    gap = Difference.of(one, two, probes)
    assert (gap.first_differing, gap.differing) == ("probe 4", len(probes) - 3)
    assert gap.largest == 1.0
    short = Said(tuple(t[:1] for t in logits), two.answers)
    assert Difference.of(one, short, probes).largest == float("inf")


@pytest.mark.parametrize("what", ["nothing", "a run"])
def test_what_is_no_export_is_refused(what, small_run, sharded, tmp_path) -> None:
    folder = tmp_path / "nowhere" if what == "nothing" else small_run
    with pytest.raises(InputError):
        verify(folder, small_run, sharded)
    assert main(["verify", str(folder), str(small_run), "--model", str(sharded)]) == 2


def test_the_runs_modules_are_those_that_the_miniature_has(sharded, small_run) -> None:
    assert list(Run.load(small_run).source().shapes) == sorted(touched(sharded))
