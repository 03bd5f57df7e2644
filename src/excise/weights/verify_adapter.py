"""A LoRA export held against the sculpted change, and loaded by PEFT for real.

PEFT may load an adapter whose keys match nothing and only warn. So each module of the run must have
its pair, no pair may be zero where the change is not, the distance to the change is measured again
from the tiles, and after loading every tensor of the file must be found in the model, bit by bit,
in a layer that is switched on.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file

from excise.vlm.load import VLM
from excise.weights.delta import WEIGHTS, read_adapter
from excise.weights.edit import EditSpec
from excise.weights.lora_again import distance
from excise.weights.lora_again_folder import tiles_of
from excise.weights.products import Source


@dataclass
class AdapterCheck:
    """Counts, errors by module, and what was wrong."""

    tensors: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def check_adapter(source: Source, spec: EditSpec, folder: Path) -> AdapterCheck:
    """Every pair of the adapter against the change that it stands for.

    Raises:
        InputError: the folder is no readable LoRA.
    """
    adapter = read_adapter(folder)
    result = AdapterCheck()
    for module in sorted(adapter.keys() - source.shapes.keys()):
        result.problems.append(f"{module}: extra, the run does not touch it")
    norms, errors, cut = 0.0, 0.0, 0
    for module, shape in source.shapes.items():
        tiles = tiles_of(source, module, spec)
        norm = sum(float(tile.double().square().sum()) for _, tile in tiles()) ** 0.5
        norms += norm**2
        pair = adapter.get(module)
        if pair is None:
            cut += norm == 0
            if norm:
                result.problems.append(f"{module}: missing, and the run changes it")
            continue
        if pair.shape != shape:
            result.problems.append(f"{module}: shape {pair.shape}; the run changes {shape}")
            continue
        b = pair.b.float() * pair.scale
        error = distance(tiles, b, pair.a.float())
        errors += error**2
        if norm and not (bool(b.any()) and bool(pair.a.any())):
            result.problems.append(f"{module}: the adapter is zero, and the run changes it")
        elif norm and error >= norm:
            result.problems.append(f"{module}: is further from the run's change than nothing is")
    result.tensors = {
        "total": 2 * len(adapter),
        "modules": len(adapter),
        "modules_cut_to_zero": cut,
        "relative_error": (errors / norms) ** 0.5 if norms else 0.0,
    }
    return result


def loaded_by_peft(vlm: VLM, folder: Path) -> list[str]:
    """Put the adapter onto the model by PEFT; the keys of its file that are not active there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they warn of is checked below, and fails
        wrapped: Any = PeftModel.from_pretrained(vlm.model, str(folder))
    wrapped.eval()
    inside = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
    active = {
        f"base_model.model.{name}"
        for name, layer in wrapped.get_base_model().named_modules()
        if isinstance(layer, LoraLayer) and not layer.disable_adapters and layer.active_adapters
    }
    missing: list[str] = []
    for key, tensor in load_file(folder / WEIGHTS).items():
        found = inside.pop(key, None)
        here = key.rpartition(".lora_")[0] in active
        if found is None or not here or not torch.equal(found.cpu().to(tensor.dtype), tensor):
            missing.append(key)
    return sorted([*missing, *inside])
