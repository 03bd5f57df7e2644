"""What a method is run on in tests of its own work: the miniature and all that it may see."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from excise.methods.material import retained, to_forget
from excise.methods.method import Material, Method
from excise.records.data import Data
from excise.vlm import VLM, Packer, Row
from excise.weights.edit import EditSpec
from excise.weights.products import Adapters
from excise.weights.tiles import edit_weight


def material_for(method: Method, vlm: VLM, data: Data, folder: Path, seed: int = 3) -> Material:
    few = retained(data, method)
    return Material(vlm, data, to_forget(data), few, [], folder, seed, lambda *told: None)


def edited(vlm: VLM, folder: Path, spec: EditSpec) -> dict[str, Tensor]:
    """The touched weights with the edit on them, by module; the model stays as it is."""
    source = Adapters(folder, [branch.adapter for branch in spec.branches], spec.anchor)
    return {
        module: edit_weight(vlm.model.get_parameter(f"{module}.weight"), source, module, spec)
        for module in source.shapes
    }


def weight(vlm: VLM, module: str) -> Tensor:
    return vlm.model.get_parameter(f"{module}.weight").detach()


def inputs(vlm: VLM, rows: list[Row], modules: list[str]) -> dict[str, Tensor]:
    """Everything that goes into some layers over some rows, (tokens, in), float64."""
    seen: dict[str, list[Tensor]] = {name: [] for name in modules}
    packer = Packer(vlm.processor, vlm.model)  # before the hooks: it runs the model to know it
    hooks = [
        vlm.model.get_submodule(name).register_forward_pre_hook(
            lambda _, given, name=name: seen[name].append(given[0].flatten(0, -2))
        )
        for name in modules
    ]
    with torch.no_grad():
        for row in rows:
            batch = packer.collate([packer.encode(row)])
            given = {k: v for k, v in batch.items() if k not in ("labels", "roles", "pictures")}
            vlm.model(**given)
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(parts).double() for name, parts in seen.items()}
