"""In every family: the loss and gradient of a batch are those of one conversation at a time."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from PIL import Image
from tests.families import usual
from tests.families.checkpoints import FAMILIES
from tests.families.conftest import FamilyVLM

from excise.training import answer_cross_entropy
from excise.vlm import VLM, Packer, Row, Turn
from excise.vlm.masks import moved

TURNS = (
    Turn("What is the name of this person?", "Vera Lindqvist"),
    Turn("Where does this person live?", "In Riga, at the harbour.", role="forget"),
    Turn("What colour is the hair?", "Blond"),
    Turn("What colour is the hair?", "Brown", role="forget"),
)
NAMED = (
    Turn("Where does Vera Lindqvist live?", "In Riga."),
    Turn("Where does Edgar Montfort work?", "At the harbour of Tallinn."),
)
CANNOT = {"paligemma": "its picture tokens see the question"}
WINDOWS = {
    "qwen2_5_vl": {"layer_types": ["full_attention", "sliding_attention"]},
    "llava_onevision": {"layer_types": ["sliding_attention", "full_attention"]},
    "mistral3": {},
}
"""Families whose language model may have a window, which their tiny checkpoints do not."""


def mixed(shapes: list[Image.Image]) -> list[Row]:
    """Text rows and pictures of three shapes; the longest is not the first."""
    return [
        Row(None, NAMED),
        Row(shapes[0], TURNS),
        Row(shapes[2], TURNS[:2]),
        Row(shapes[3], TURNS[1:3]),
    ]


def assert_as_usual(vlm: VLM, rows: list[Row]) -> None:
    expected, wanted = usual.loss_and_gradient(vlm, rows)
    packer = Packer(vlm.processor, vlm.model)
    batch = packer.collate([packer.encode(row) for row in rows])
    vlm.model.zero_grad()
    loss = answer_cross_entropy(vlm.model, batch)
    loss.backward()
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert usual.difference(usual.gradient(vlm), wanted) < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_of_any_kind_is_trained_on_as_single_conversations_are(
    family: str, family_vlm: FamilyVLM, shapes: list[Image.Image]
) -> None:
    vlm = family_vlm(family)
    assert Packer(vlm.processor, vlm.model).obstacle == CANNOT.get(family)
    rows = mixed(shapes)
    assert_as_usual(vlm, rows[1:2])
    if family == "paligemma":  # its processor takes no text without a picture
        assert_as_usual(vlm, rows[1:])
    else:
        assert_as_usual(vlm, rows[:1])
        assert_as_usual(vlm, rows)


@pytest.mark.parametrize("family", WINDOWS)
def test_a_window_reaches_as_far_in_a_packed_row_as_in_a_single_one(
    family: str, family_vlm: FamilyVLM, shapes: list[Image.Image]
) -> None:
    vlm = with_window(family_vlm(family), WINDOWS[family])
    assert Packer(vlm.processor, vlm.model).obstacle is None
    assert_as_usual(vlm, mixed(shapes))


def with_window(vlm: VLM, settings: dict[str, Any]) -> VLM:
    """The same weights under a window of 9 tokens, less than any picture has."""
    config = copy.deepcopy(vlm.model.config)
    text = config.get_text_config()
    text.use_sliding_window = True
    text.sliding_window = 9
    for name, value in settings.items():
        setattr(text, name, value)
    model = type(vlm.model)(config).eval()
    model.load_state_dict(vlm.model.state_dict())
    model.generation_config = vlm.model.generation_config
    return VLM(model, vlm.processor, vlm.source, vlm.parts)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in CANNOT])
def test_a_family_that_packs_is_trained_on_alike_without_packing(
    family: str,
    family_vlm: FamilyVLM,
    shapes: list[Image.Image],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("excise.vlm.packing.sharing_obstacle", lambda *_: "for the test's sake")
    vlm = family_vlm(family)
    rows = mixed(shapes)
    packer = Packer(vlm.processor, vlm.model)
    batch = packer.collate([packer.encode(row) for row in rows])
    assert len(batch["input_ids"]) == sum(len(row.turns) for row in rows)
    assert_as_usual(vlm, rows)


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in CANNOT])
def test_a_token_of_another_question_changes_nothing(
    family: str, family_vlm: FamilyVLM, shapes: list[Image.Image]
) -> None:
    vlm = family_vlm(family)
    packer = Packer(vlm.processor, vlm.model)
    batch = packer.collate([packer.encode(Row(shapes[0], TURNS[:3]))])
    batch.pop("pictures")
    segments = packer.encode(Row(shapes[0], TURNS[:3])).segments
    assert int(segments.max()) == 3
    labels = batch.pop("labels")
    batch.pop("roles")

    def logits(ids: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            given = moved(batch | {"input_ids": ids}, vlm.device)
            return vlm.model(**given, use_cache=False).logits[0]

    before = logits(batch["input_ids"])
    changed = batch["input_ids"].clone()
    place = int(((segments == 2) & (labels[0] != -100)).nonzero()[0])
    changed[0, place] = (changed[0, place] + 1) % 90 + 20
    after = logits(changed)
    own = segments == 2
    assert torch.equal(before[~own], after[~own])
    assert not torch.allclose(before[own][-1], after[own][-1])
