from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from excise.records.errors import InputError
from excise.vlm import VLM, Packer, Row, Turn, load
from excise.vlm.pictures import EncodedPicture, Splice, allow_image_tokens, join_pictures


def _encoded(*, name: str = "pixel_values", shape: tuple[int, ...]) -> EncodedPicture:
    return EncodedPicture("key", Splice((), (1,), (1, 1)), {name: torch.ones(shape)}, 2)


def test_pictures_of_different_shapes_are_joined_with_zeros_behind_the_smaller_one() -> None:
    joined = join_pictures([_encoded(shape=(1, 2, 3)), None, _encoded(shape=(2, 4, 2))])
    assert joined["pixel_values"].shape == (3, 4, 3)
    assert joined["pixel_values"].sum() == 2 * 3 + 2 * 4 * 2
    assert joined["pixel_values"][0, :2].all()
    assert not joined["pixel_values"][0, 2:].any()
    assert not joined["pixel_values"][1:, :, 2:].any()


def test_no_pictures_are_joined_to_nothing() -> None:
    assert join_pictures([]) == join_pictures([None, None]) == {}


def test_a_picture_above_the_limit_is_refused_with_its_record_and_the_limit(
    tiny: VLM, pictures: list[Image.Image]
) -> None:
    row = Row(pictures[0], (Turn("What is it?", "A cat.", record="r7"),))
    allow_image_tokens(tiny.model, 8)
    expected = (
        r'^record "r7": the picture makes 16 image tokens, at most 8 are allowed; .*'
        r"--max-image-tokens"
    )
    with pytest.raises(InputError, match=expected):
        Packer(tiny.processor, tiny.model).encode(row)
    allow_image_tokens(tiny.model, 16)
    assert Packer(tiny.processor, tiny.model).encode(row).picture is not None


def test_a_picture_that_the_models_positions_would_cut_is_refused_with_its_record(
    tiny: VLM, pictures: list[Image.Image]
) -> None:
    tiny.model.config.get_text_config().max_position_embeddings = 12
    row = Row(pictures[0], (Turn("What is it?", "A cat.", record="r7"),))
    with pytest.raises(InputError, match='record "r7": .* cut off at the model\'s 12 positions'):
        Packer(tiny.processor, tiny.model).encode(row)


def test_the_limit_is_a_positive_number(tiny: VLM) -> None:
    with pytest.raises(InputError, match="max_image_tokens is 0, expected a positive number"):
        allow_image_tokens(tiny.model, 0)


@pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is not None, reason="torchvision is there"
)
def test_a_package_that_a_processor_needs_is_named(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "qwen"
    shutil.copytree(checkpoint, folder)
    path = folder / "processor_config.json"
    settings = json.loads(path.read_text())
    settings["processor_class"] = "Qwen2VLProcessor"
    settings["video_processor"] = {"video_processor_type": "Qwen2VLVideoProcessor"}
    path.write_text(json.dumps(settings))
    with pytest.raises(InputError, match="needs the package torchvision, .*pip install torchvi"):
        load(folder, device="cpu")
