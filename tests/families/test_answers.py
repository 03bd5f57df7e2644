"""In every family: greedy answers in batches are those of `generate`, one at a time."""

from __future__ import annotations

import pytest
from PIL import Image
from tests.families import usual
from tests.families.checkpoints import FAMILIES
from tests.families.conftest import FamilyVLM
from tests.families.test_packing import WINDOWS, with_window

from excise.vlm import VLM, answer
from excise.vlm import generation as room

TEXTS = (
    "Where?",
    "What colour is the hair of the person in the picture, would you say?",
    "Which illness?",
)
LIMIT = 20  # past the window of Gemma 3 and of `with_window`
Question = tuple[Image.Image | None, str]


def questions(vlm: VLM, shapes: list[Image.Image]) -> list[Question]:
    asked: list[Question] = [(picture, text) for text in TEXTS for picture in shapes]
    text_only = [] if vlm.model.config.model_type == "paligemma" else [(None, t) for t in TEXTS]
    return asked[::2] + text_only + asked[1::2]


def assert_as_alone(
    vlm: VLM, asked: list[Question], monkeypatch: pytest.MonkeyPatch, *, batch_size: int = 64
) -> None:
    """With words for ends that a random model does say, so that answers differ in length."""
    free = answer(vlm, asked, max_new_tokens=LIMIT)
    tokenizer = vlm.processor.tokenizer  # type: ignore[attr-defined]
    said = [tokenizer.encode(text, add_special_tokens=False) for text in free]
    stops = {ids[len(ids) * n // 9] for n, ids in enumerate(said[::2], 1) if len(ids) > n}
    plain = room.Chat.__init__

    def with_stops(self: room.Chat, *given: object) -> None:
        plain(self, *given)  # type: ignore[arg-type]
        self.end_ids = self.end_ids | stops

    monkeypatch.setattr(room.Chat, "__init__", with_stops)
    ends = set(room.Chat(vlm.processor, vlm.model).end_ids)
    alone = [usual.answered(vlm, picture, text, ends, LIMIT) for picture, text in asked]
    assert answer(vlm, asked, max_new_tokens=LIMIT, batch_size=batch_size) == alone
    assert len({len(text) for text in alone}) > 3


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_in_batches_are_those_given_alone(
    family: str,
    family_vlm: FamilyVLM,
    shapes: list[Image.Image],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vlm = family_vlm(family)
    assert_as_alone(vlm, questions(vlm, shapes), monkeypatch)


@pytest.mark.parametrize("family", ["qwen2_vl", "idefics3", "mllama"])
def test_answers_that_share_nothing_are_those_given_alone(
    family: str,
    family_vlm: FamilyVLM,
    shapes: list[Image.Image],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vlm = family_vlm(family)
    monkeypatch.setattr(room, "sharing_obstacle", lambda *_: "for the test's sake")
    assert_as_alone(vlm, questions(vlm, shapes), monkeypatch, batch_size=4)


@pytest.mark.parametrize("family", WINDOWS)
def test_answers_under_a_window_are_those_given_alone(
    family: str,
    family_vlm: FamilyVLM,
    shapes: list[Image.Image],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vlm = with_window(family_vlm(family), WINDOWS[family])
    assert room.sharing_obstacle(vlm.model, vlm.processor) is None
    assert_as_alone(vlm, questions(vlm, shapes), monkeypatch, batch_size=5)
