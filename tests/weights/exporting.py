"""For the tests of exports: the session's miniature in many files, and runs on it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from excise.vlm import load
from excise.vlm.parts import linear_targets
from excise.vlm.weights_hash import hash_weights, weight_files

LAYER = "model.language_model.layers.0.self_attn.q_proj"


def shard(checkpoint: Path, folder: Path, dtype: torch.dtype, size: str = "24KB") -> Path:
    """The miniature in another type, cut into many files."""
    shutil.copytree(checkpoint, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    name = str(dtype).removeprefix("torch.")
    vlm = load(checkpoint, dtype=name, device="cpu")
    vlm.model.save_pretrained(folder, max_shard_size=size)
    assert len(list(folder.glob("*.safetensors"))) > 3
    return folder


def touched(checkpoint: Path) -> dict[str, tuple[int, int]]:
    """All linear layers of the language model with the shapes of their weights."""
    vlm = load(checkpoint, device="cpu")
    names = linear_targets(vlm.model, vlm.parts)
    weights = {name: vlm.model.get_parameter(f"{name}.weight") for name in names}
    return {name: (weight.shape[0], weight.shape[1]) for name, weight in weights.items()}


def factors(seed: int, shapes: Mapping[str, tuple[int, int]], r: int = 2) -> dict[str, Tensor]:
    """LoRA weights in PEFT's naming, large enough to change what the miniature says."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for module, (rows, columns) in shapes.items():
        key = f"base_model.model.{module}"
        tensors[f"{key}.lora_A.weight"] = torch.randn(r, columns, generator=generator) * 0.3
        tensors[f"{key}.lora_B.weight"] = torch.randn(rows, r, generator=generator) * 0.3
    return tensors


def write_run(
    folder: Path,
    base: Path,
    shapes: Mapping[str, tuple[int, int]],
    *,
    k: float = 1.0,
    r: int = 2,
    criterion: str = "both",
) -> Path:
    """A run folder with a forgetting adapter and an anchor, drawn from seeds."""
    for seed, name in enumerate(("forgetting", "anchor")):
        (folder / name).mkdir(parents=True)
        save_file(factors(seed, shapes, r), folder / name / "adapter_model.safetensors")
        settings = {"peft_type": "LORA", "r": r, "lora_alpha": r, "bias": "none"}
        (folder / name / "adapter_config.json").write_text(json.dumps(settings))
    edit = {
        "schema": "excise.edit/1",
        "criterion": criterion,
        "branches": [{"adapter": "forgetting", "k": k}],
        "anchor": "anchor",
    }
    info = {
        "schema": "excise.run/1",
        "method": "smfa",
        "base": {"id": base.name, "weights_hash": hash_weights(weight_files(str(base)))},
    }
    (folder / "edit.json").write_text(json.dumps(edit))
    (folder / "run.json").write_text(json.dumps(info))
    return folder
