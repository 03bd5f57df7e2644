"""The vision tower runs once for each picture, and nothing else changes."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from PIL import Image
from torch import Tensor, nn

from excise.records.errors import InputError
from excise.training import answer_cross_entropy
from excise.vlm import VLM, Packer, Row, Turn, linear_targets, load
from excise.vlm.chat import Chat
from excise.vlm.features import FeatureCache, feature_cache
from excise.vlm.pictures import EncodedPicture, Pictures, join_pictures
from excise.weights import inplace

TURNS = (Turn("Who is this?", "Vera Lindqvist"), Turn("Where?", "In Riga."))


@pytest.fixture
def tiny(tiny: VLM) -> VLM:
    """Frozen, as it is under an adapter."""
    tiny.model.requires_grad_(False)
    return tiny


@pytest.fixture
def encoded(tiny: VLM, pictures: list[Image.Image]) -> list[EncodedPicture]:
    processed = Pictures(Chat(tiny.processor, tiny.model), tiny.model)
    return [processed.encode(picture) for picture in pictures]


@contextmanager
def counting(vlm: VLM) -> Iterator[list[int]]:
    """The number of pictures in each run of the vision tower."""
    seen: list[int] = []
    tower = vlm.model.get_submodule(vlm.parts.vision_tower)
    hook = tower.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(len(args[0] if args else kwargs["pixel_values"])),
        with_kwargs=True,
    )
    try:
        yield seen
    finally:
        hook.remove()


def features(vlm: VLM, pictures: list[EncodedPicture]) -> list[Tensor]:
    model: Any = vlm.model
    with torch.no_grad():
        return list(model.model.get_image_features(**join_pictures(pictures)).pooler_output)


def batch_of(vlm: VLM, rows: list[Row]) -> dict[str, Any]:
    packer = Packer(vlm.processor, vlm.model)
    encoded = [packer.encode(row) for row in rows]
    return {**packer.collate(encoded), "pictures": [row.picture for row in encoded]}


def test_served_features_are_the_computed_ones_whatever_the_order(
    tiny: VLM, encoded: list[EncodedPicture]
) -> None:
    one, two, three, _ = encoded
    alone = {picture.key: features(tiny, [picture])[0] for picture in encoded}
    for batch in ([one], [two, one], [three, one, three]):
        with tiny.features.serving(batch), counting(tiny) as runs:
            served = features(tiny, batch)
        assert runs == []
        for picture, tensor in zip(batch, served, strict=True):
            assert torch.equal(tensor, alone[picture.key])


def test_each_picture_is_run_once_and_by_itself(tiny: VLM, encoded: list[EncodedPicture]) -> None:
    with counting(tiny) as runs:
        for batch in (encoded[:2], encoded[1:], [*encoded, *encoded]):
            with tiny.features.serving(batch):
                features(tiny, batch)
    assert runs == [1, 1, 1, 1]
    assert (tiny.features.computed, tiny.features.hits) == (4, 1 + 4)


def test_a_call_with_other_pictures_goes_to_the_model(
    tiny: VLM, encoded: list[EncodedPicture]
) -> None:
    expected = features(tiny, encoded[:3])
    with tiny.features.serving(encoded[:2]):
        got = features(tiny, encoded[:3])
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


def test_afterwards_the_model_computes_again(tiny: VLM, encoded: list[EncodedPicture]) -> None:
    with pytest.raises(ZeroDivisionError), tiny.features.serving(encoded):
        raise ZeroDivisionError
    with counting(tiny) as runs:
        features(tiny, encoded)
    assert runs == [4]


def test_the_loss_is_the_same_and_training_shares_the_cache_of_the_model(
    tiny: VLM, pictures: list[Image.Image]
) -> None:
    rows = [Row(pictures[0], TURNS), Row(None, TURNS[:1]), Row(pictures[1], TURNS[:1])]
    batch = batch_of(tiny, rows)
    plain = {name: value for name, value in batch.items() if name != "pictures"}
    expected = answer_cross_entropy(tiny.model, plain).item()
    with counting(tiny) as runs:
        for _ in range(3):
            assert answer_cross_entropy(tiny.model, batch).item() == pytest.approx(expected, 1e-6)
    assert runs == [1, 1]
    assert tiny.features is feature_cache(tiny.model)
    assert tiny.features.hits == 4


def test_under_an_adapter_gradients_are_the_same_with_the_cache(
    tiny: VLM, pictures: list[Image.Image]
) -> None:
    batch = batch_of(tiny, [Row(pictures[0], TURNS), Row(pictures[1], TURNS)])
    torch.manual_seed(0)
    targets = linear_targets(tiny.model, tiny.parts)
    adapted = get_peft_model(
        tiny.model, LoraConfig(r=2, target_modules=targets, init_lora_weights=False)
    )

    def gradients(given: dict[str, Any]) -> list[Tensor]:
        adapted.zero_grad()
        answer_cross_entropy(adapted, given).backward()
        return [p.grad.clone() for p in adapted.parameters() if p.grad is not None]

    expected = gradients({name: value for name, value in batch.items() if name != "pictures"})
    with counting(tiny) as runs:
        found = gradients(batch), gradients(batch)
    assert len(runs) == 2
    for again in found:
        for one, two in zip(again, expected, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-7)


def test_features_of_inference_mode_serve_training(tiny: VLM, pictures: list[Image.Image]) -> None:
    batch = batch_of(tiny, [Row(pictures[0], TURNS)])
    with torch.inference_mode():
        answer_cross_entropy(tiny.model, batch)
    tiny.model.get_input_embeddings().weight.requires_grad_(True)
    with counting(tiny) as runs:
        answer_cross_entropy(tiny.model, batch).backward()
    assert runs == []


def test_a_changed_vision_weight_drops_the_features(
    tiny: VLM, encoded: list[EncodedPicture]
) -> None:
    with tiny.features.serving(encoded):
        old = features(tiny, encoded)
    tower = tiny.model.get_submodule(tiny.parts.vision_tower)
    with torch.no_grad():
        next(tower.parameters()).mul_(1.5)
    expected = [features(tiny, [picture])[0] for picture in encoded]
    with tiny.features.serving(encoded):
        new = features(tiny, encoded)
    assert all(torch.equal(a, b) for a, b in zip(new, expected, strict=True))
    assert not torch.equal(new[0], old[0])


def test_a_changed_language_weight_does_not(tiny: VLM, encoded: list[EncodedPicture]) -> None:
    tiny.features.fill(encoded)
    with torch.no_grad():
        for parameter in tiny.model.get_submodule(tiny.parts.language_model).parameters():
            parameter.mul_(0.5)
    with counting(tiny) as runs, tiny.features.serving(encoded):
        features(tiny, encoded)
    assert runs == []


@pytest.mark.parametrize("part", ["vision_tower", "projector"])
def test_a_trained_vision_tower_or_projector_computes_for_itself(
    tiny: VLM, encoded: list[EncodedPicture], part: str
) -> None:
    assert tiny.features.obstacle is None
    tiny.model.get_submodule(getattr(tiny.parts, part)).requires_grad_(True)
    with torch.no_grad():
        assert tiny.features.obstacle is None
    assert tiny.features.obstacle == "weights outside the language model are trained"
    model: Any = tiny.model
    with counting(tiny) as runs, tiny.features.serving(encoded):
        out = model.model.get_image_features(**join_pictures(encoded)).pooler_output[0]
    assert runs == [4]
    assert out.requires_grad


def test_memory_is_bounded_and_what_was_used_longest_ago_goes_first(
    tiny: VLM, encoded: list[EncodedPicture]
) -> None:
    each = features(tiny, encoded[:1])[0].nbytes
    cache = FeatureCache(tiny.model, 2 * each)
    a, b, c, _ = encoded
    cache.fill([a, b, a, c])  # b goes
    assert cache.computed == 3
    cache.fill([a, c])
    assert cache.computed == 3
    cache.fill([b])
    assert cache.computed == 4
    nothing = FeatureCache(tiny.model, 0)
    with nothing.serving([a, b, a]):
        assert len(features(tiny, [a, b, a])) == 3
    assert nothing.computed == 2


def test_dropout_and_training_mode_do_not_reach_the_features(
    tiny: VLM, encoded: list[EncodedPicture]
) -> None:
    expected = [features(tiny, [picture])[0] for picture in encoded]
    tower = tiny.model.get_submodule(tiny.parts.vision_tower)
    for module in tower.modules():
        if hasattr(module, "dropout"):
            module.dropout = 0.9
    tiny.model.train()
    with tiny.features.serving(encoded):
        got = features(tiny, encoded)
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
    assert all(module.training for module in tiny.model.modules())


def test_a_folder_keeps_features_from_one_load_to_the_next(
    checkpoint: Path, encoded: list[EncodedPicture], tmp_path: Path
) -> None:
    folder = tmp_path / "features"
    first, again, other = (load(checkpoint, device="cpu", features_folder=folder) for _ in range(3))
    for vlm in (first, again, other):
        vlm.model.requires_grad_(False)
    with first.features.serving(encoded):
        expected = features(first, encoded)
    assert first.features.computed == 4

    with counting(again) as runs, again.features.serving(encoded):
        served = features(again, encoded)
    assert runs == []
    assert (again.features.computed, again.features.loaded) == (0, 4)
    assert all(torch.equal(a, b) for a, b in zip(served, expected, strict=True))

    with torch.no_grad():
        next(other.model.get_submodule(other.parts.vision_tower).parameters()).add_(1)
    other.features.fill(encoded)
    assert other.features.computed == 4  # the folder's are those of other weights


def test_a_broken_file_is_computed_anew_and_the_folder_is_bounded(
    tiny: VLM, encoded: list[EncodedPicture], tmp_path: Path
) -> None:
    FeatureCache(tiny.model, folder=tmp_path).fill(encoded[:1])
    (file,) = tmp_path.iterdir()
    whole = file.stat().st_size
    file.write_bytes(file.read_bytes()[:100])
    cache = FeatureCache(tiny.model, folder=tmp_path, folder_limit=2 * whole)
    cache.fill(encoded)
    assert cache.computed == 4
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * whole
    assert not file.exists()  # the oldest


def test_a_folder_that_cannot_be_made_is_one_line(tiny: VLM, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="features cannot be kept here"):
        FeatureCache(tiny.model, folder=tmp_path / "file" / "features")


def test_the_cache_does_not_keep_a_model_alive(
    checkpoint: Path, encoded: list[EncodedPicture]
) -> None:
    vlm = load(checkpoint, device="cpu")
    with torch.no_grad():
        vlm.features.fill(encoded)
    assert vlm.features.computed == 4
    model: weakref.ref[nn.Module] = weakref.ref(vlm.model)
    del vlm
    gc.collect()
    assert model() is None


def test_a_run_put_onto_the_vision_tower_is_noticed_on_and_off(
    tiny: VLM, encoded: list[EncodedPicture]
) -> None:
    tower = tiny.parts.vision_tower
    name = next(n for n, m in tiny.model.named_modules() if n.startswith(tower) and "q_proj" in n)
    weight = tiny.model.get_parameter(f"{name}.weight")
    shape = (weight.shape[0], weight.shape[1])
    old = [features(tiny, [picture])[0] for picture in encoded]
    originals: dict[str, Tensor] = {}
    tiny.features.fill(encoded)
    inplace.add(inplace.targets(tiny.model, {name: shape}), [(name, torch.ones(shape))], originals)
    with tiny.features.serving(encoded):
        changed = features(tiny, encoded)
    inplace.restore(tiny.model, originals)
    with tiny.features.serving(encoded):
        restored = features(tiny, encoded)
    assert not torch.equal(changed[0], old[0])
    assert all(torch.equal(a, b) for a, b in zip(restored, old, strict=True))
