"""Checkpoints of the families, each made once a session, in a process that can see torchvision.

These tests run in a process of their own (`make test` starts it): everything else is tested as an
install without torchvision has it, and one process cannot be both.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from tests.families.torchvision_here import make_importable

make_importable()

if TYPE_CHECKING:
    from excise.vlm import VLM


def pytest_configure(config: pytest.Config) -> None:
    """Be silent on what PaliGemma's processor does with numpy."""
    config.addinivalue_line("filterwarnings", "ignore:__array__ implementation:DeprecationWarning")


FamilyCheckpoint = Callable[[str], Path]
FamilyVLM = Callable[[str], "VLM"]


@pytest.fixture(scope="session")
def family_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> FamilyCheckpoint:
    """`family_checkpoint("qwen2_vl")` is the folder of that family's tiny checkpoint."""
    from tests.families.checkpoints import build

    root = tmp_path_factory.mktemp("families")

    def made(family: str) -> Path:
        folder = root / family
        return folder if folder.is_dir() else build(family, folder)

    return made


@pytest.fixture(scope="session")
def family_vlm(family_checkpoint: FamilyCheckpoint) -> FamilyVLM:
    """`family_vlm("qwen2_vl")` is that checkpoint loaded, for tests that leave it as it is."""
    from excise.vlm import load

    loaded: dict[str, VLM] = {}

    def made(family: str) -> VLM:
        if family not in loaded:
            loaded[family] = load(family_checkpoint(family), device="cpu")
        return loaded[family]

    return made


@pytest.fixture(scope="session")
def shapes() -> list[Image.Image]:
    """Pictures of noise in three shapes: two that are alike, a wide one and a tall one."""
    noise = random.Random(3)
    sizes = ((64, 48), (64, 48), (96, 40), (40, 72))
    return [Image.frombytes("RGB", (w, h), noise.randbytes(w * h * 3)) for w, h in sizes]
