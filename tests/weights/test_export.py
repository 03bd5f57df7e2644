"""Merged exports: equal to the applied run, whole or not there, refused where they would lie."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tests.weights.exporting import LAYER, touched, write_run
from torch import Tensor

import excise
from excise.cli import main
from excise.records.errors import InputError
from excise.vlm import load
from excise.weights import export as room
from excise.weights import stream
from excise.weights import verify as verify_room
from excise.weights.export import export
from excise.weights.run import Run
from excise.weights.verify import VerificationFailed
from excise.weights.verify_tensors import file_hash


def tensors(folder: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            found |= {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    return found


def hashes(folder: Path) -> dict[str, str]:
    return {p.name: file_hash(p) for p in sorted(folder.iterdir()) if p.is_file()}


def test_a_merged_export_is_the_applied_run_bit_for_bit(merged, sharded, small_run) -> None:
    vlm = load(sharded, dtype="bfloat16", device="cpu")
    Run.load(small_run).apply(vlm)
    loaded = load(merged, dtype="bfloat16", device="cpu")
    applied, exported = vlm.model.state_dict(), loaded.model.state_dict()
    assert applied.keys() == exported.keys()
    for name, tensor in applied.items():
        assert torch.equal(tensor, exported[name]), name
    base = load(sharded, dtype="bfloat16", device="cpu").model.state_dict()
    changed = {name for name, tensor in base.items() if not torch.equal(tensor, exported[name])}
    assert changed == {f"{module}.weight" for module in touched(sharded)}


def test_it_keeps_sharding_types_and_everything_that_goes_with_a_model(merged, sharded) -> None:
    before, after = tensors(sharded), tensors(merged)
    assert {k: (t.dtype, t.shape) for k, t in before.items()} == {
        k: (t.dtype, t.shape) for k, t in after.items()
    }
    shards = {p.name: p.stat().st_size for p in sharded.glob("*.safetensors")}
    assert shards == {p.name: p.stat().st_size for p in merged.glob("*.safetensors")}
    for path in sharded.iterdir():
        if path.suffix != ".safetensors":
            assert (merged / path.name).read_bytes() == path.read_bytes(), path.name
    assert {p.name for p in merged.iterdir()} == {
        *(p.name for p in sharded.iterdir()),
        "README.md",
        "export.json",
    }


def test_the_manifest_and_card_name_base_run_and_method_and_no_place(
    merged, sharded, small_run
) -> None:
    run = Run.load(small_run)
    text = (merged / "export.json").read_text()
    info = json.loads(text)
    card = (merged / "README.md").read_text()
    assert (info["schema"], info["kind"], info["run"]) == ("excise.export/1", "merged", run.id)
    assert info["base"] == {"id": "base", "weights_hash": run.base_hash}
    assert info["verification"]["passed"] and info["verification"]["outputs"]["compared"]
    assert info["verification"]["outputs"]["largest_logit_difference"] == 0.0
    assert info["verification"]["outputs"]["run_moves_logits_by"] > 1
    assert info["verification"]["tensors"]["edited"] == 14
    assert {n: e["sha256"] for n, e in info["files"].items()} | {
        "export.json": file_hash(merged / "export.json")
    } == hashes(merged)
    for words in (text, card):
        assert str(sharded.parent) not in words and str(merged.parent) not in words
    for word in (run.id, run.base_hash, "smfa", "base"):
        assert word in card


def test_a_hub_cache_of_links_exports_alike(sharded, small_run, merged, tmp_path) -> None:
    snapshot, blobs = tmp_path / "models--m" / "snapshots" / "r", tmp_path / "models--m" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for path in sharded.iterdir():
        blob = blobs / file_hash(path)
        shutil.copyfile(path, blob)
        (snapshot / path.name).symlink_to(os.path.relpath(blob, snapshot))
    made = export(small_run, snapshot, tmp_path / "out", outputs=False).folder
    assert not any(path.is_symlink() for path in made.rglob("*"))
    written = {n: h for n, h in hashes(made).items() if n != "export.json"}
    assert written == {n: h for n, h in hashes(merged).items() if n != "export.json"}


def test_a_kill_leaves_nothing_under_the_name_and_the_same_call_goes_on(
    sharded, small_run, merged, tmp_path
) -> None:
    out, before = tmp_path / "out", hashes(sharded)
    script = f"""
import os, signal
from excise.weights import export as room, stream
write, seen = room.write_shard, []
def dying(edited, shard, folder, wrote):
    if len(seen) == 2:  # half a shard, and the power goes
        (folder / (shard.name + ".part")).write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    seen.append(shard)
    write(edited, shard, folder, wrote)
room.write_shard = dying
room.export({str(small_run)!r}, {str(sharded)!r}, {str(out)!r}, outputs=False)
"""
    died = subprocess.run([sys.executable, "-c", script], capture_output=True)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    assert not out.exists()
    [part] = tmp_path.iterdir()
    done = {p.name: p.stat().st_ino for p in part.glob("*.safetensors")}
    assert len(done) == 2

    made = export(small_run, sharded, out, outputs=False).folder

    assert {name: (made / name).stat().st_ino for name in done} == done  # not written again
    assert list(tmp_path.iterdir()) == [out]
    assert {n: h for n, h in hashes(made).items() if n != "export.json"} == {
        n: h for n, h in hashes(merged).items() if n != "export.json"
    }
    assert hashes(sharded) == before


def test_what_an_interruption_left_is_checked_like_everything_else(
    sharded, small_run, tmp_path, monkeypatch
) -> None:
    def interrupted(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "carry", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export(small_run, sharded, tmp_path / "out", outputs=False)
    monkeypatch.undo()
    [part] = tmp_path.iterdir()
    shard = max(part.glob("*.safetensors"), key=lambda path: path.stat().st_size)
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    with pytest.raises(VerificationFailed):
        export(small_run, sharded, tmp_path / "out", outputs=False)
    assert list(tmp_path.iterdir()) == []  # what cannot be trusted is not kept
    assert export(small_run, sharded, tmp_path / "out", outputs=False).folder.is_dir()


@pytest.mark.parametrize("where", ["", "below/it"])
def test_writing_into_the_base_is_refused(where, sharded, small_run) -> None:
    before = hashes(sharded)
    with pytest.raises(InputError, match="inside the base model"):
        export(small_run, sharded, sharded / where)
    assert hashes(sharded) == before and not (sharded / "below").exists()


def test_writing_into_the_run_or_over_something_is_refused(
    sharded, small_run, merged, tmp_path
) -> None:
    with pytest.raises(InputError, match="inside the run"):
        export(small_run, sharded, small_run / "out")
    with pytest.raises(InputError, match="holds this export already"):
        export(small_run, sharded, merged)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        export(small_run, sharded, tmp_path)


def test_too_little_disk_is_said_in_numbers_before_the_first_byte(
    sharded, small_run, tmp_path, monkeypatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(InputError, match=r"needs 64 MiB of disk, 0 MiB are free"):
        export(small_run, sharded, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_half_way_is_one_line_and_the_rest_is_kept(
    sharded, small_run, tmp_path, monkeypatch
) -> None:
    write, seen = room.write_shard, []

    def full(*args: Any) -> None:
        if len(seen) == 2:
            raise OSError(28, "No space left on device")
        seen.append(args)
        write(*args)

    monkeypatch.setattr(room, "write_shard", full)
    with pytest.raises(InputError, match=r"out: cannot be written \(No space left on device\)"):
        export(small_run, sharded, tmp_path / "out", outputs=False)
    monkeypatch.undo()
    assert not (tmp_path / "out").exists()
    assert export(small_run, sharded, tmp_path / "out", outputs=False).folder.is_dir()


def test_another_base_is_refused_and_nothing_stays(sharded, small_run, tmp_path) -> None:
    other = shutil.copytree(sharded, tmp_path / "other")
    shard = sorted(other.glob("*.safetensors"))[0]
    data = bytearray(shard.read_bytes())
    data[-2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(InputError, match="made for a base model with weights"):
        export(small_run, other, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [other]


def test_an_export_is_not_edited_a_second_time(merged, small_run, tmp_path) -> None:
    with pytest.raises(InputError, match="is an export of run smfa-"):
        export(small_run, merged, tmp_path / "out")
    vlm = load(merged, device="cpu")
    with pytest.raises(InputError, match="is an export of run smfa-"):
        Run.load(small_run).apply(vlm)


def test_missing_and_damaged_shards_are_named(sharded, small_run, tmp_path) -> None:
    base = shutil.copytree(sharded, tmp_path / "base")
    shard = sorted(base.glob("*.safetensors"))[2]
    whole = shard.read_bytes()
    for spoilt in (whole[:-5], b"nonsense" * 9, None):
        shard.unlink()
        if spoilt is not None:
            shard.write_bytes(spoilt)
        with pytest.raises(InputError, match=shard.name):
            export(small_run, base, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_quantised_base_is_refused_by_name(sharded, small_run, tmp_path) -> None:
    base = shutil.copytree(sharded, tmp_path / "base")
    config = json.loads((base / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (base / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"is quantised \(gptq\)"):
        export(small_run, base, tmp_path / "out")


def test_a_run_on_a_module_that_is_not_there_names_it(sharded, tmp_path) -> None:
    run = write_run(tmp_path / "run", sharded, {"model.language_model.layers.9.q": (4, 4)})
    with pytest.raises(InputError, match=r"^model\.language_model\.layers\.9\.q: "):
        export(run, sharded, tmp_path / "out")


def test_an_overflow_is_refused(sharded, tmp_path) -> None:
    run = write_run(tmp_path / "run", sharded, {LAYER: (32, 32)})
    path = run / "forgetting" / "adapter_model.safetensors"
    save_file({key: tensor * 1e25 for key, tensor in load_file(path).items()}, path)
    with pytest.raises(InputError, match=rf"^{LAYER}: .*(not finite|too large)"):
        export(run, sharded, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [run]


def test_a_wrong_write_is_never_called_done(sharded, small_run, tmp_path, monkeypatch) -> None:
    def plain(edited: Any, shard: Any, folder: Path, wrote: Any) -> None:
        shutil.copyfile(shard.path, folder / shard.name)

    monkeypatch.setattr(room, "write_shard", plain)
    with pytest.raises(VerificationFailed, match=r"_proj\.weight: .* \(it is the base's\)"):
        export(small_run, sharded, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_byte_that_is_written_wrong_is_found_while_it_is_in_memory(
    sharded, small_run, tmp_path, monkeypatch
) -> None:
    write = stream._write

    def flipping(file: Any, data: memoryview) -> None:
        wrong = bytearray(data)
        wrong[len(wrong) // 2] ^= 1
        write(file, memoryview(wrong))

    monkeypatch.setattr(stream, "_write", flipping)
    with pytest.raises(VerificationFailed, match=r"_proj\.weight: 1 of \d+ entries are not base"):
        export(small_run, sharded, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_weights_that_a_loader_takes_otherwise_are_found(
    sharded, small_run, tmp_path, monkeypatch
) -> None:
    real = verify_room.load

    def renaming(source: str, **how: Any) -> Any:  # as if a rename upstream lost one weight
        vlm = real(source, **how)
        vlm.model.get_parameter(f"{LAYER}.weight").data.zero_()
        return vlm

    monkeypatch.setattr(verify_room, "load", renaming)
    with pytest.raises(VerificationFailed, match=rf"{LAYER}\.weight: is loaded otherwise"):
        export(small_run, sharded, tmp_path / "out")


def test_other_files_of_the_base_stay_behind_and_are_named(sharded, small_run, tmp_path) -> None:
    base = shutil.copytree(sharded, tmp_path / "base")
    (base / "records.jsonl").write_text("private")
    (base / "trainer_state.json").write_text("{}")
    (base / "pytorch_model.bin").write_bytes(b"old")
    made = export(small_run, base, tmp_path / "out", outputs=False)
    assert made.left_behind == ("pytorch_model.bin", "records.jsonl", "trainer_state.json")
    assert not (made.folder / "records.jsonl").exists()


def test_memory_stays_with_the_largest_tensor_whatever_the_checkpoint(tmp_path_factory) -> None:
    from benchmarks.export import build, build_run

    fast = Path("/dev/shm")  # in memory, so that a slow disk does not slow the test
    place = fast if os.access(fast, os.W_OK) else tmp_path_factory.getbasetemp()
    scratch = place / f"excise-test-{os.getpid()}"
    try:
        base = build(scratch / "base", 0.25, hidden=896, inner=2432)
        build_run(scratch / "run", base, rank=2)
        assert len(list(base.glob("*.safetensors"))) > 5
        script = Path(__file__).parents[2] / "benchmarks" / "export.py"
        command = [sys.executable, script, "--side", scratch / "run", base, scratch / "out"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        took = json.loads(said.splitlines()[-1])
        assert sum(p.stat().st_size for p in base.glob("*.safetensors")) > 230 * 2**20
        assert took["memory_mib"] < took["largest_touched"] / 2**20 + 128
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def test_the_command_reports_and_exits_1_where_verification_fails(
    sharded, small_run, tmp_path, capsys, monkeypatch
) -> None:
    words = ["export", str(small_run), "--as", "merged", "--model", str(sharded)]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "of which 14 edited" in said and "largest logit difference 0 of" in said
    assert said.endswith(f"export: {tmp_path / 'out'}\n")

    def plain(edited: Any, shard: Any, folder: Path, wrote: Any) -> None:
        shutil.copyfile(shard.path, folder / shard.name)

    monkeypatch.setattr(room, "write_shard", plain)
    assert main([*words, "--out", str(tmp_path / "other")]) == 1
    error = capsys.readouterr().err
    assert "excise: verification failed: " in error and "export:" not in error
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--as", "gguf"], "--as gguf: expected merged or lora"),
        (["--as", "merged", "--rank", "4"], "are for --as lora"),
        (["--as", "lora", "--rank", "0"], "rank 0: expected a whole number"),
        (["--as", "lora", "--rank", "4", "--tolerance", ".1"], "either a rank or a tolerance"),
        (["--as", "lora", "--tolerance", "nan"], "between 0 and 1"),
    ],
)
def test_wrong_words_are_one_line(words, message, sharded, small_run, tmp_path, capsys) -> None:
    given = ["export", str(small_run), "--model", str(sharded), "--out", str(tmp_path / "x")]
    assert main([*given, *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_without_a_model_the_runs_own_base_is_taken_if_it_is_here(
    sharded, small_run, tmp_path, monkeypatch
) -> None:
    with pytest.raises(InputError, match=r'--model is missing: the base "base"'):
        excise.export(small_run, None, tmp_path / "out")
    monkeypatch.chdir(sharded.parent)
    made = excise.export(small_run, None, tmp_path / "out", outputs=False)
    assert made.info["verification"]["tensors"]["edited"] == 14
    assert LAYER  # the miniature's module names are those of transformers 5
