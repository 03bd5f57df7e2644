"""The factored run as an adapter folder that PEFT and vLLM both read as it is meant.

Keys are PEFT's (`base_model.model.<module>.lora_A.weight`), targets are exact module names. Every
module has alpha equal to its rank, so the scale is 1 whether a reader honours `alpha_pattern` (as
PEFT does) or knows only `lora_alpha / r` (as vLLM does, whose buffers take any rank up to `r`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import LoraConfig
from safetensors.torch import save_file
from torch import Tensor

from excise.records.errors import InputError
from excise.records.writing import write_json
from excise.weights.delta import CONFIG, WEIGHTS
from excise.weights.edit import EditSpec
from excise.weights.lora_again import Factored, Tiles, factor
from excise.weights.products import Source
from excise.weights.tiles import delta_tiles

MOST = 512
"""The largest rank that a tolerance may ask for; vLLM takes no larger."""


Tell = Callable[[str, int, int], None]
"""Is told `(stage, done, total)` as the work goes on."""


@dataclass(frozen=True)
class Wish:
    """How low the rank shall be: one rank, or the smallest within a relative error."""

    rank: int | None = None
    tolerance: float | None = None
    uniform: bool = False
    """One rank for all modules: the largest that a tolerance asks for."""
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.rank is None) == (self.tolerance is None):
            raise InputError("a LoRA needs either a rank or a tolerance, and not both")
        if self.rank is not None and self.rank < 1:
            raise InputError(f"rank {self.rank}: expected a whole number, 1 or larger")
        if self.tolerance is not None and not 0 < self.tolerance < 1:
            raise InputError(f"tolerance {self.tolerance}: expected a number between 0 and 1")


def tiles_of(source: Source, module: str, spec: EditSpec) -> Tiles:
    """The passes over one module's change, as `lora_again` wants them."""
    return lambda: delta_tiles(source, module, spec)


def factor_run(source: Source, spec: EditSpec, wish: Wish, tell: Tell) -> dict[str, Factored]:
    """Every touched module's change in low rank, by module name.

    Raises:
        InputError: a tolerance that no rank up to `MOST` meets; the module is named.
    """
    found: dict[str, Factored] = {}
    total = len(source.shapes)
    for number, (module, shape) in enumerate(source.shapes.items(), 1):
        made = factor(
            tiles_of(source, module, spec),
            shape,
            rank=wish.rank,
            tolerance=wish.tolerance,
            most=MOST,
            seed=wish.seed,
        )
        if made is None:
            raise InputError(
                f"{module}: no rank up to {MOST} is within a relative error of {wish.tolerance:g}; "
                "give a larger --tolerance or a --rank, or export --as merged, which is exact"
            )
        found[module] = made
        tell("factoring", number, total)
    if wish.uniform and wish.rank is None:
        largest = max(made.rank for made in found.values())
        short = [m for m, made in found.items() if made.rank < min(largest, *source.shapes[m])]
        for number, module in enumerate(short, 1):
            tiles, shape = tiles_of(source, module, spec), source.shapes[module]
            again = factor(tiles, shape, rank=largest, most=MOST, seed=wish.seed)
            assert again is not None
            found[module] = again
            tell("one rank for all", number, len(short))
    return found


def write_adapter(folder: Path, factored: Mapping[str, Factored], base: str | None) -> None:
    """Write the adapter's weights and configuration; a change of zero gets no module.

    Args:
        base: the hub id of the base model; None where it has none, since a path is told to nobody.

    Raises:
        InputError: every change is zero, so there is nothing to serve.
    """
    made = {module: each for module, each in factored.items() if each.norm > 0}
    if not made:
        raise InputError("the run changes nothing: every change is cut to zero")
    tensors: dict[str, Tensor] = {}
    for module, each in made.items():
        tensors[f"base_model.model.{module}.lora_A.weight"] = each.a
        tensors[f"base_model.model.{module}.lora_B.weight"] = each.b
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    largest = max(each.rank for each in made.values())
    other = {module: each.rank for module, each in made.items() if each.rank != largest}
    settings: Any = LoraConfig(r=largest, lora_alpha=largest, inference_mode=True)
    config: dict[str, Any] = settings.to_dict()
    config.update(
        target_modules=sorted(made),
        base_model_name_or_path=base,
        rank_pattern=other,
        alpha_pattern=dict(other),
    )
    write_json(folder / CONFIG, json.loads(json.dumps(config, default=str)))


def error_report(factored: Mapping[str, Factored]) -> dict[str, Any]:
    """Ranks and relative Frobenius errors, by module and in total, as `export.json` has them."""
    norm = sum(each.norm**2 for each in factored.values()) ** 0.5
    error = sum(each.error**2 for each in factored.values()) ** 0.5
    return {
        "rank": {
            "largest": max(each.rank for each in factored.values()),
            "smallest": min(each.rank for each in factored.values()),
        },
        "relative_error": error / norm if norm else 0.0,
        "parameters": sum(each.a.numel() + each.b.numel() for each in factored.values()),
        "modules": {
            module: {"rank": each.rank, "relative_error": each.relative_error}
            for module, each in factored.items()
        },
    }
