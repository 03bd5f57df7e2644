"""A stand-in for a loaded model, and run folders written by hand for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

SHAPES = {
    "layers.0.attn.q_proj": (6, 5),
    "layers.0.mlp.up_proj": (7, 5),
    "layers.1.attn.q_proj": (6, 5),
}
HASH = "ab" * 32


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = lambda: nn.ModuleDict(  # noqa: E731
            {
                "attn": nn.ModuleDict({"q_proj": nn.Linear(5, 6)}),
                "mlp": nn.ModuleDict({"up_proj": nn.Linear(5, 7)}),
            }
        )
        self.layers = nn.ModuleList([layer(), layer()])


@dataclass
class StandIn:
    model: nn.Module
    weights_hash: str = HASH
    applied: str | None = None

    def bits(self) -> dict[str, bytes]:
        return {
            name: p.detach().contiguous().view(torch.uint8).numpy().tobytes()
            for name, p in self.model.named_parameters()
        }

    def weight(self, module: str) -> Tensor:
        return self.model.get_parameter(f"{module}.weight").detach().clone()


@pytest.fixture
def vlm() -> StandIn:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return StandIn(Toy())


def factors(
    seed: int, shapes: Mapping[str, tuple[int, int]] = SHAPES, r: int = 2
) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for module, (rows, columns) in shapes.items():
        key = f"base_model.model.{module}"
        tensors[f"{key}.lora_A.weight"] = torch.randn(r, columns, generator=generator)
        tensors[f"{key}.lora_B.weight"] = torch.randn(rows, r, generator=generator)
    return tensors


WriteAdapter = Callable[..., Path]


@pytest.fixture
def write_adapter(tmp_path: Path) -> WriteAdapter:
    """Write an adapter folder; keyword arguments go into its configuration."""

    def write(
        where: str = "adapter", tensors: dict[str, Tensor] | None = None, **config: Any
    ) -> Path:
        folder = tmp_path / where
        folder.mkdir(parents=True)
        save_file(factors(0) if tensors is None else tensors, folder / "adapter_model.safetensors")
        settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 1, "bias": "none", **config}
        (folder / "adapter_config.json").write_text(json.dumps(settings))
        return folder

    return write


@pytest.fixture
def write_run(tmp_path: Path, write_adapter: WriteAdapter) -> Callable[..., Path]:
    """Write a run folder whose adapters are drawn from seeds."""

    def write(
        name: str = "run",
        branches: Mapping[str, float] = {"forgetting": 1.0},
        criterion: str = "both",
        **tensors: dict[str, Tensor],
    ) -> Path:
        for seed, adapter in enumerate([*branches, "anchor"]):
            write_adapter(f"{name}/{adapter}", tensors.get(adapter, factors(seed)))
        edit = {
            "schema": "excise.edit/1",
            "criterion": criterion,
            "branches": [{"adapter": adapter, "k": k} for adapter, k in branches.items()],
            "anchor": "anchor",
        }
        info = {
            "schema": "excise.run/1",
            "method": "smfa",
            "base": {"id": "m", "weights_hash": HASH},
        }
        (tmp_path / name / "edit.json").write_text(json.dumps(edit))
        (tmp_path / name / "run.json").write_text(json.dumps(info))
        return tmp_path / name

    return write


@pytest.fixture
def draw() -> Callable[..., dict[str, Tensor]]:
    """Factors for the stand-in's modules: `draw(seed, shapes)`."""
    return factors


@pytest.fixture(scope="session")
def sharded(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The session's miniature in bfloat16, in many files; not to be written to."""
    from tests.weights.exporting import shard

    return shard(checkpoint, tmp_path_factory.mktemp("sharded") / "base", torch.bfloat16)


@pytest.fixture(scope="session")
def small_run(sharded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on it that changes every linear layer of the language model."""
    from tests.weights.exporting import touched
    from tests.weights.exporting import write_run as write

    return write(tmp_path_factory.mktemp("runs") / "run", sharded, touched(sharded))


@pytest.fixture(scope="session")
def merged(sharded: Path, small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That run as a merged checkpoint, verified; copy it before spoiling it."""
    from excise.weights.export import export

    return export(small_run, sharded, tmp_path_factory.mktemp("exports") / "merged").folder
