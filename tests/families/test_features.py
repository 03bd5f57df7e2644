"""In every family the vision tower runs once for each picture, and the loss is the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tests.families.checkpoints import FAMILIES
from torch import Tensor

from excise.training import answer_cross_entropy, answer_logprobs
from excise.vlm import VLM, Packer, Row, Turn, load
from excise.vlm.chat import Chat
from excise.vlm.features import FeatureCache
from excise.vlm.packing import IGNORED
from excise.vlm.pictures import EncodedPicture, Pictures, join_pictures

TURNS = (Turn("Who is this?", "Vera Lindqvist"), Turn("Where?", "In Riga."))


@pytest.fixture(scope="module", params=[*FAMILIES])
def vlm(request: pytest.FixtureRequest, family_checkpoint: Callable[[str], Path]) -> VLM:
    loaded = load(family_checkpoint(request.param), device="cpu")
    loaded.model.requires_grad_(False)
    return loaded


@pytest.fixture
def encoded(vlm: VLM, shapes: list[Image.Image]) -> list[EncodedPicture]:
    vlm.features.clear()
    processed = Pictures(Chat(vlm.processor, vlm.model), vlm.model)
    return [processed.encode(picture) for picture in shapes]


@contextmanager
def counting(vlm: VLM) -> Iterator[list[None]]:
    """One entry for each run of the vision tower, of which the first layer tells."""
    seen: list[None] = []
    tower = vlm.model.get_submodule(vlm.parts.vision_tower)
    first = next(module for module in tower.modules() if not [*module.children()])
    hook = first.register_forward_pre_hook(lambda *_: seen.append(None))
    try:
        yield seen
    finally:
        hook.remove()


def leaves(value: Any) -> list[Tensor]:
    """All tensors of what a model says about pictures, pictures in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in leaves(item)]
    return []


def features(vlm: VLM, pictures: list[EncodedPicture | None]) -> dict[str, Tensor]:
    """What the language model is given, each field as one row of numbers."""
    model: Any = vlm.model
    tensors = join_pictures(pictures)
    with torch.no_grad():
        if hasattr(model.model, "get_image_features"):
            output = model.model.get_image_features(**tensors)
            names = [n for n in ("pooler_output", "deepstack_features") if hasattr(output, n)]
        else:
            output = model.get_submodule(vlm.parts.vision_tower)(**tensors)
            names = ["last_hidden_state"]
    return {
        name: torch.cat([tensor.flatten() for tensor in leaves(getattr(output, name))])
        for name in names
    }


def test_served_features_are_those_of_the_whole_batch(
    vlm: VLM, encoded: list[EncodedPicture]
) -> None:
    one, two, wide, tall = encoded
    for batch in ([one], [one, two], [wide, tall, one, wide], [tall, one, None]):
        expected = features(vlm, batch)
        with vlm.features.serving(batch), counting(vlm) as runs:
            served = features(vlm, batch)
        assert not runs
        assert served.keys() == expected.keys() and expected
        for name, value in expected.items():
            torch.testing.assert_close(served[name], value, rtol=1e-5, atol=1e-6)


def test_the_loss_is_the_same_and_the_tower_runs_once_a_picture(
    vlm: VLM, shapes: list[Image.Image]
) -> None:
    vlm.features.clear()
    packer = Packer(vlm.processor, vlm.model)
    rows = [
        Row(shapes[0], TURNS),
        Row(None, TURNS[:1]),
        Row(shapes[2], TURNS[:1]),
        Row(shapes[0], TURNS[1:]),
    ]
    batch = packer.collate([packer.encode(row) for row in rows])
    assert "pictures" in batch
    plain = {name: value for name, value in batch.items() if name != "pictures"}
    with torch.no_grad():
        expected = answer_cross_entropy(vlm.model, plain).item()
        with counting(vlm) as runs:
            found = [answer_cross_entropy(vlm.model, batch).item() for _ in range(2)]
    assert found == pytest.approx([expected, expected], rel=1e-5)
    distinct = {p.key for p in batch["pictures"] if p is not None}
    blank = any(p is None for p in batch["pictures"]) and vlm.model.config.model_type == "mllama"
    assert len(runs) == len(distinct) + blank == 2 + blank


def test_features_come_back_from_disk_as_they_were(
    vlm: VLM, encoded: list[EncodedPicture], tmp_path: Path
) -> None:
    batch = [encoded[2], encoded[0]]
    model = vlm.model
    try:
        with FeatureCache(model, folder=tmp_path, parts=vlm.parts).serving([*batch]):
            expected = features(vlm, [*batch])
        again = FeatureCache(model, folder=tmp_path, parts=vlm.parts)
        with again.serving([*batch]):
            found = features(vlm, [*batch])
        assert (again.loaded, again.computed) == (2, 0)
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    finally:
        FeatureCache(model, parts=vlm.parts)


def test_chunks_of_logits_are_the_models_own(vlm: VLM, shapes: list[Image.Image]) -> None:
    packer = Packer(vlm.processor, vlm.model)
    batch = packer.collate([packer.encode(Row(shapes[2], TURNS)), packer.encode(Row(None, TURNS))])
    inputs = {n: v for n, v in batch.items() if n not in ("pictures", "labels", "roles")}
    labels = batch["labels"]
    with torch.no_grad():
        logits = vlm.model(**inputs).logits[:, :-1][labels[:, 1:] != IGNORED]
        expected = logits.float().log_softmax(-1).gather(1, labels[labels != IGNORED][:, None])
        for chunk in (3, None):
            found = answer_logprobs(vlm.model, batch, chunk=chunk)
            torch.testing.assert_close(found, expected[:, 0], rtol=1e-5, atol=1e-5)
