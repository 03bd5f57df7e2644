"""A fit on some of the language model's layers."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import load_file

from excise.records.errors import InputError
from excise.training import FitSettings, fit
from excise.vlm import VLM, Row, Turn, linear_targets

SETTINGS = FitSettings(rank=2, lr=1e-2, steps=2, batch=1)


@pytest.fixture
def rows(pictures: list[Image.Image]) -> list[Row]:
    return [Row(pictures[0], (Turn("Who is this?", "Vera Lindqvist"),))]


def test_only_the_given_layers_are_adapted(tiny: VLM, rows: list[Row], tmp_path: Path) -> None:
    every = linear_targets(tiny.model, tiny.parts)
    chosen = [every[9], every[2]]
    result = fit(tiny, rows, settings=SETTINGS, out=tmp_path, seed=0, targets=chosen)
    assert result.targets == [every[2], every[9]]  # the model's order
    names = {name.removeprefix("base_model.model.") for name in load_file(
        tmp_path / "adapter_model.safetensors"
    )}  # fmt: skip
    assert names == {f"{t}.lora_{half}.weight" for t in chosen for half in "AB"}


def test_other_layers_are_another_fit_and_the_same_ones_the_same(
    tiny: VLM, rows: list[Row], tmp_path: Path
) -> None:
    every = linear_targets(tiny.model, tiny.parts)
    steps: list[int] = []

    def run(targets: list[str] | None) -> int:
        steps.clear()
        fit(
            tiny, rows, settings=SETTINGS, out=tmp_path, seed=0, targets=targets,
            progress=lambda done, total: steps.append(done),
        )  # fmt: skip
        return len(steps)

    assert run(every[:3]) == 2
    assert run(every[2::-1]) == 0  # done already, in whatever order they are named
    assert run(every[:4]) == 2
    assert run(None) == 2
    assert run(every) == 0


@pytest.mark.parametrize(
    ("targets", "reason"),
    [
        (["model.language_model.layers.0.mlp.up_prj"], 'did you mean ".*mlp.up_proj"'),
        (["model.vision_tower.encoder.layers.0.mlp.fc1"], "expected linear layers of the language"),
        ([], "no targets: expected linear layers"),
    ],
)
def test_what_is_no_layer_of_the_language_model_is_refused(
    targets: list[str], reason: str, tiny: VLM, rows: list[Row], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=reason):
        fit(tiny, rows, settings=SETTINGS, out=tmp_path / "a", seed=0, targets=targets)
    assert not (tmp_path / "a").exists()
