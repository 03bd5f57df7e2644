"""The specimen's data, processor and an untrained network, each made once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from excise.specimen import dataset

if TYPE_CHECKING:
    from PIL import Image
    from transformers import LlavaProcessor

    from excise.records.record import Record

    Made = tuple[list[Record], dict[str, Image.Image]]


@pytest.fixture(scope="session")
def made() -> Made:
    """Records and pictures of 5 %, seed 0."""
    return dataset.make(5, 0)


@pytest.fixture(scope="session")
def processor() -> LlavaProcessor:
    from excise.specimen.architecture import build_processor

    return build_processor(seed=0)
