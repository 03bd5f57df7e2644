from __future__ import annotations

import pytest
import torch
from PIL import Image

from excise.vlm import VLM, answer
from excise.vlm import generation as room

Question = tuple[Image.Image | None, str]


@pytest.fixture
def questions(pictures: list[Image.Image]) -> list[Question]:
    texts = [
        "What is the name of this person?",
        "Where?",
        "What colour is the hair of the person in the picture, would you say?",
        "Which illness?",
    ]
    asked: list[Question] = [(p, t) for t in texts for p in pictures]
    asked += [(None, t) for t in texts]
    return asked[::2] + asked[1::2]


def by_transformers(vlm: VLM, question: Question, limit: int) -> str:
    picture, text = question
    content = [{"type": "text", "text": text}]
    if picture is not None:
        content.insert(0, {"type": "image", "image": picture})  # type: ignore[dict-item]
    inputs = vlm.processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    out = vlm.model.generate(**inputs, do_sample=False, max_new_tokens=limit)
    new = out[0, inputs["input_ids"].shape[1] :]
    return str(vlm.processor.tokenizer.decode(new, skip_special_tokens=True)).strip()


@pytest.mark.parametrize("batch_size", [3, 64])
def test_batched_answers_are_those_of_generate_one_by_one(
    tiny: VLM, questions: list[Question], batch_size: int
) -> None:
    together = answer(tiny, questions, max_new_tokens=12, batch_size=batch_size)
    assert together == [by_transformers(tiny, question, 12) for question in questions]
    assert len(set(together)) > len(questions) // 2


def test_answers_of_different_lengths_end_where_they_end_alone(
    tiny: VLM, questions: list[Question], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A random model never says "<end>"; let words that it does say be the end.
    free = answer(tiny, questions, max_new_tokens=12)
    stops = {tiny.processor.tokenizer.encode(a, add_special_tokens=False)[3] for a in free[::3]}
    plain = room.Chat.__init__

    def with_stops(self: room.Chat, *given: object) -> None:
        plain(self, *given)  # type: ignore[arg-type]
        self.end_ids = self.end_ids | stops

    monkeypatch.setattr(room.Chat, "__init__", with_stops)
    together = answer(tiny, questions, max_new_tokens=12)
    alone = [answer(tiny, [question], max_new_tokens=12)[0] for question in questions]
    assert together == alone
    assert together != free
    assert len({len(text) for text in together}) > 2


def test_a_model_that_cannot_share_prefixes_gives_the_same_answers(
    tiny: VLM, questions: list[Question], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = answer(tiny, questions, max_new_tokens=8)
    monkeypatch.setattr(room, "sharing_obstacle", lambda *_: "for the sake of the test")
    assert answer(tiny, questions, max_new_tokens=8) == shared


def test_a_picture_is_seen_once_however_many_questions_it_has(
    tiny: VLM, pictures: list[Image.Image]
) -> None:
    seen: list[int] = []
    tower = tiny.model.get_submodule(tiny.parts.vision_tower)
    asked: list[Question] = [(p.copy(), f"Question {n}?") for n in range(5) for p in pictures[:2]]
    answer(tiny, [(None, "Where?")], max_new_tokens=1)  # tries whether prefixes can be shared
    handle = tower.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(len(args[0] if args else kwargs["pixel_values"])),
        with_kwargs=True,
    )
    answer(tiny, asked, max_new_tokens=2)
    handle.remove()
    assert sum(seen) == 2 + 1  # one more for counting the features of this shape of picture


def test_answering_leaves_the_model_ready_for_training(
    tiny: VLM, questions: list[Question]
) -> None:
    tiny.model.train()
    answer(tiny, questions[:2], max_new_tokens=2)
    assert tiny.model.training
    weight = tiny.model.get_output_embeddings().weight
    assert not torch.is_inference(weight)


def test_no_questions_have_no_answers(tiny: VLM) -> None:
    assert answer(tiny, []) == []
