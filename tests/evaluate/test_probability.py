"""The true answer's probability, against one plain forward pass a question."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from excise.evaluate.probability import answer_probability
from excise.records.data import Data
from excise.records.record import Record

if TYPE_CHECKING:
    from PIL import Image

    from excise.vlm import VLM

ASKED = (
    ("Where does this person live?", "Riga", True),
    ("What is the name?", "Vera Lindqvist", True),
    ("Where does Edgar Montfort live?", "Tallinn", False),
    ("Which illness does he have?", "Blond, brown, black.", False),
)


@pytest.fixture
def data(tmp_path: Path, pictures: list[Image.Image], make: Callable[..., Record]) -> Data:
    (tmp_path / "images").mkdir()
    pictures[0].save(tmp_path / "images" / "a.png")
    records = [
        make(answer, question=question, image="images/a.png")
        if pictured
        else make(answer, question=question, kind="text_memory")
        for question, answer, pictured in ASKED
    ]
    return Data(tmp_path, tuple(records))


def one_by_one(vlm: VLM, data: Data, record: Record) -> float:
    """The processor's own prompt, the model's own logits, the product of the answer's tokens."""
    import torch

    asked = [{"type": "text", "text": record.question}]
    if record.image is not None:
        asked.insert(0, {"type": "image"})
    turns = [
        {"role": "user", "content": asked},
        {"role": "assistant", "content": [{"type": "text", "text": record.answer}]},
    ]
    said = {}
    for name, messages, begin in (("prompt", turns[:1], True), ("whole", turns, False)):
        text = vlm.processor.apply_chat_template(messages, add_generation_prompt=begin)
        said[name] = vlm.processor(
            text=text, images=data.picture(record), return_tensors="pt", add_special_tokens=False
        )
    start = said["prompt"]["input_ids"].shape[1]
    with torch.no_grad():
        logits = vlm.model(**said["whole"]).logits[0].double()
    ids = said["whole"]["input_ids"][0]
    logprobs = [logits[i - 1].log_softmax(-1)[ids[i]] for i in range(start, len(ids))]
    return float(torch.stack(logprobs).mean().exp())


def test_it_is_the_geometric_mean_of_the_answers_token_probabilities(tiny: VLM, data: Data) -> None:
    found = answer_probability(tiny, data, data.records)
    wanted = [one_by_one(tiny, data, record) for record in data.records]
    assert found == pytest.approx(wanted, rel=1e-4)
    assert all(0 < value < 1 for value in found) and len(set(found)) == 4


def test_order_and_batches_do_not_matter(tiny: VLM, data: Data) -> None:
    found = answer_probability(tiny, data, data.records, rows=1)
    turned = answer_probability(tiny, data, data.records[::-1])
    assert turned[::-1] == pytest.approx(found, rel=1e-5)


def test_the_model_is_left_as_it_was(tiny: VLM, data: Data) -> None:
    tiny.model.train()
    answer_probability(tiny, data, data.records)
    assert tiny.model.training
