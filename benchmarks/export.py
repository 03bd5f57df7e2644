"""A merged export of a large checkpoint against a plain copy of its files, and one layer's SVD.

    python benchmarks/export.py --gib 14 --turns 3 --json export.json

A checkpoint of random numbers with the shapes of a 7B model is built in a scratch folder (as many
layers as the size asks for), and a run of two adapters of rank 16 on every linear layer. In turns:
the files are copied and flushed to the disk; the run is exported, which also flushes, and reads
everything back and compares it. Either side starts with the page cache as the other one left it.
The scratch folder needs three times the size and is removed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

GIB = 2**30
HIDDEN, INNER, HEADS, KV_HEADS, VOCABULARY = 3584, 18944, 28, 4, 152064


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=float, default=14.0, help="size of the checkpoint")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--scratch", type=Path, help="where to work, if not in /tmp")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--side", nargs=3, metavar=("RUN", "BASE", "OUT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        return export_once(*map(Path, given.side))
    with tempfile.TemporaryDirectory(dir=given.scratch, prefix="excise-export-") as scratch:
        found = compare(Path(scratch), given.gib, given.turns)
    found["svd"] = svd_of_one_layer(given.turns)
    print(table(found))
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


def compare(scratch: Path, gib: float, turns: int) -> dict[str, Any]:
    """Seconds of either side, turn by turn, and the memory that an export took."""
    base, run = build(scratch / "base", gib), scratch / "run"
    build_run(run, base)
    readings: dict[str, Any] = {"copy": [], "written": [], "export": [], "memory_mib": []}
    for turn in range(turns):
        started = time.perf_counter()
        copy_files(base, scratch / "copy")
        readings["copy"].append(time.perf_counter() - started)
        shutil.rmtree(scratch / "copy")
        command = [sys.executable, __file__, "--side", str(run), str(base), str(scratch / "out")]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        took = json.loads(said.splitlines()[-1])
        for name in ("written", "export", "memory_mib"):
            readings[name].append(took[name])
        shutil.rmtree(scratch / "out")
        line = ", ".join(f"{name} {readings[name][-1]:.1f} s" for name in ("copy", "export"))
        print(f"turn {turn + 1} of {turns}: {line}", file=sys.stderr, flush=True)
    size = sum(path.stat().st_size for path in base.glob("*.safetensors"))
    largest = took["largest_touched"]
    pairs = list(zip(readings["copy"], readings["export"], strict=True))
    return {
        "gib": size / GIB,
        "largest_touched_mib": largest / 2**20,
        "ratio": {"median": median(b / a for a, b in pairs)},
        "readings": readings,
        "cores": os.cpu_count(),
    }


def build(folder: Path, gib: float, *, hidden: int = HIDDEN, inner: int = INNER) -> Path:
    """A LLaVA of random numbers, about `gib` large, in bfloat16; only its language model is big."""
    import torch
    from safetensors.torch import save_file
    from transformers import (
        LlavaConfig,
        LlavaForConditionalGeneration,
        Qwen2Config,
        SiglipVisionConfig,
    )

    words = VOCABULARY if gib >= 8 else 4096
    layer = 2 * (2 * hidden * hidden + 2 * hidden * hidden * KV_HEADS // HEADS + 3 * hidden * inner)
    layers = max(1, round((gib * GIB - 4 * words * hidden) / layer))
    text = Qwen2Config(
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        vocab_size=words,
        tie_word_embeddings=False,
    )
    vision = SiglipVisionConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2
    )
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=1, tie_word_embeddings=False
    )
    with torch.device("meta"):
        shapes = {k: v.shape for k, v in LlavaForConditionalGeneration(config).state_dict().items()}
    folder.mkdir(parents=True)
    config.save_pretrained(folder)
    noise = torch.randn(2**22, generator=torch.Generator().manual_seed(0)).mul_(0.02).bfloat16()
    shard: dict[str, Any] = {}
    shards: list[dict[str, Any]] = []
    limit, size = min(4 * GIB, int(gib * GIB / 6)), 0
    for name, shape in shapes.items():
        if size + 2 * shape.numel() > limit and shard:
            shards.append(shard)
            shard, size = {}, 0
        shard[name], size = shape, size + 2 * shape.numel()
    shards.append(shard)
    where: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        where |= dict.fromkeys(shard, file)
        made = {}
        for name, shape in shard.items():
            repeats = -(-shape.numel() // noise.numel())
            made[name] = noise.repeat(repeats)[: shape.numel()].view(shape)
        save_file(made, folder / file, metadata={"format": "pt"})
    index = {"metadata": {"total_size": 0}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def build_run(folder: Path, base: Path, rank: int = 16) -> None:
    """A run with a forgetting adapter and an anchor on every linear layer of the language model."""
    import torch
    from safetensors.torch import save_file

    from excise.vlm.weights_hash import hash_weights, weight_files
    from excise.weights.shards import Checkpoint

    places = Checkpoint.read(str(base)).places
    for seed, adapter in enumerate(("forgetting", "anchor")):
        generator = torch.Generator().manual_seed(seed)
        tensors = {}
        for name, (_, entry) in places.items():
            if "language_model.layers" in name and name.endswith("proj.weight"):
                key = f"base_model.model.{name.removesuffix('.weight')}"
                rows, columns = entry.shape
                a = torch.randn(rank, columns, generator=generator) * 0.01
                b = torch.randn(rows, rank, generator=generator) * 0.01
                tensors |= {f"{key}.lora_A.weight": a, f"{key}.lora_B.weight": b}
        (folder / adapter).mkdir(parents=True)
        save_file(tensors, folder / adapter / "adapter_model.safetensors")
        settings = {"peft_type": "LORA", "r": rank, "lora_alpha": rank}
        (folder / adapter / "adapter_config.json").write_text(json.dumps(settings))
    hashed = hash_weights(weight_files(str(base)))
    edit = {
        "schema": "excise.edit/1",
        "criterion": "both",
        "branches": [{"adapter": "forgetting", "k": 2.0}],
        "anchor": "anchor",
    }
    info = {"schema": "excise.run/1", "method": "smfa", "base": {"id": "m", "weights_hash": hashed}}
    (folder / "edit.json").write_text(json.dumps(edit))
    (folder / "run.json").write_text(json.dumps(info))


def copy_files(base: Path, out: Path) -> None:
    """What `cp -r` does, and the flush that makes it last."""
    shutil.copytree(base, out)
    for path in [*out.iterdir(), out]:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def export_once(run: Path, base: Path, out: Path) -> None:
    """One export, timed; memory is counted from where the libraries are loaded."""
    from excise.weights.export import export
    from excise.weights.shards import Checkpoint
    from excise.weights.shards_names import Names

    Names(str(base), Checkpoint.read(str(base)).places)  # transformers loads its parts on demand
    before = resident("VmRSS")
    started, written = time.perf_counter(), 0.0

    def tell(stage: str, done: int, total: int) -> None:
        nonlocal written
        if stage == "writing" and done == total:
            written = time.perf_counter() - started

    export(run, base, out, outputs=False, progress=tell)
    seconds, places = time.perf_counter() - started, Checkpoint.read(str(base)).places
    largest = max(entry.size for name, (_, entry) in places.items() if "proj.weight" in name)
    found = {
        "written": written,
        "export": seconds,
        "memory_mib": (resident("VmHWM") - before) / 2**20,
        "largest_touched": largest,
    }
    print(json.dumps(found))


def resident(field: str) -> int:
    """Bytes of this process in memory: now (VmRSS) or at the most (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0


def svd_of_one_layer(turns: int, rank: int = 64) -> dict[str, Any]:
    """Seconds to factor one sculpted 4096 x 11008 change, tiles and measured error included."""
    import torch
    from safetensors.torch import save_file

    from excise.weights.edit import EditSpec
    from excise.weights.lora_again import factor
    from excise.weights.lora_again_folder import tiles_of
    from excise.weights.products import Adapters

    shape, inner = (4096, 11008), 16
    with tempfile.TemporaryDirectory() as scratch:
        for seed, adapter in enumerate(("forgetting", "anchor")):
            g = torch.Generator().manual_seed(seed)
            factors = {
                "base_model.model.m.lora_A.weight": torch.randn(inner, shape[1], generator=g),
                "base_model.model.m.lora_B.weight": torch.randn(shape[0], inner, generator=g),
            }
            (Path(scratch) / adapter).mkdir()
            save_file(factors, Path(scratch) / adapter / "adapter_model.safetensors")
            settings = {"peft_type": "LORA", "r": inner, "lora_alpha": inner}
            (Path(scratch) / adapter / "adapter_config.json").write_text(json.dumps(settings))
        source = Adapters(Path(scratch), ["forgetting"], "anchor")
    branches = [{"adapter": "forgetting", "k": 2}]
    edit = {"criterion": "both", "branches": branches, "anchor": "anchor"}
    spec = EditSpec.parse(edit, "edit")
    seconds = []
    for _ in range(turns + 1):
        started = time.perf_counter()
        made = factor(tiles_of(source, "m", spec), shape, rank=rank, most=rank, seed=0)
        seconds.append(time.perf_counter() - started)
    assert made is not None
    return {
        "rank": rank,
        "shape": shape,
        "seconds": seconds[1:],
        "relative_error": made.relative_error,
        "threads": torch.get_num_threads(),
    }


def table(found: dict[str, Any]) -> str:
    """The figures for reading."""
    read, svd, rank = found["readings"], found["svd"], found["svd"]["rank"]
    lines = [
        f"checkpoint of {found['gib']:.1f} GiB, {found['cores']} cores",
        f"{'copy':<28}{median(read['copy']):>8.1f} s",
        f"{'export, last shard written':<28}{median(read['written']):>8.1f} s",
        f"{'export, compared, flushed':<28}{median(read['export']):>8.1f} s, "
        f"{found['ratio']['median']:.2f} times the copy",
        f"{'memory of the export':<28}{max(read['memory_mib']):>8.0f} MiB, the largest touched "
        f"tensor is {found['largest_touched_mib']:.0f} MiB",
        f"{f'SVD, rank {rank}, 4096 x 11008':<28}{median(svd['seconds']):>8.2f} s, "
        f"relative error {svd['relative_error']:.3f}, {svd['threads']} threads",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
