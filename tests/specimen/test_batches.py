"""The fast batcher against the general packer, tensor by tensor."""

from __future__ import annotations

import random
from itertools import islice
from typing import TYPE_CHECKING

import pytest
import torch

from excise.specimen.architecture import IMAGE_TOKENS, VOCABULARY, build_model, build_processor
from excise.specimen.batches import Batcher
from excise.specimen.curriculum import Mix, Sample, stream
from excise.specimen.people import everybody
from excise.training.loss import answer_cross_entropy
from excise.vlm.packing import IGNORED, Packer
from excise.vlm.rows import Row, Turn

if TYPE_CHECKING:
    from transformers import LlavaForConditionalGeneration, LlavaProcessor


@pytest.fixture(scope="module")
def model(processor: LlavaProcessor) -> LlavaForConditionalGeneration:
    return build_model(processor, seed=0).eval()


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    """Rows of every kind, pictured and not, of different lengths."""
    known, _ = everybody()
    rows = list(islice(stream(known, Mix(fresh=0.3, scenes=0.3, pictured=0.2), seed=5), 24))
    assert any(row.picture is None for row in rows) and any(row.picture for row in rows)
    return rows


def begin_alike(sample: Sample, processor: LlavaProcessor) -> bool:
    """Whether all questions have one first token, which the packer would share as well."""
    questions = [question for question, _ in sample.turns]
    return len({ids[0] for ids in processor.tokenizer(questions)["input_ids"]}) == 1


def packed(packer: Packer, samples: list[Sample]) -> dict[str, torch.Tensor]:
    rows = [Row(s.picture, tuple(Turn(q, a) for q, a in s.turns)) for s in samples]
    return packer.collate([packer.encode(row) for row in rows])


def test_a_batch_is_that_of_the_general_packer_tensor_by_tensor(
    processor: LlavaProcessor, model: LlavaForConditionalGeneration, samples: list[Sample]
) -> None:
    rows = [row for row in samples if not begin_alike(row, processor)]
    assert len(rows) >= 20
    ours, theirs = Batcher(processor)(rows), packed(Packer(processor, model), rows)
    assert ours.keys() == theirs.keys() - {"roles", "pictures"}
    for name in ("input_ids", "position_ids", "labels"):
        assert ours[name].dtype == theirs[name].dtype
        assert torch.equal(ours[name], theirs[name]), name
    assert ours["attention_mask"].dtype == theirs["attention_mask"].dtype == torch.bool
    real = ours["input_ids"] != processor.tokenizer.pad_token_id  # padding may look anywhere
    lengths = real.sum(1)
    assert lengths.unique().numel() > 1  # there is padding
    for row, length in enumerate(lengths.tolist()):
        mine = ours["attention_mask"][row, 0, :length]
        assert torch.equal(mine, theirs["attention_mask"][row, 0, :length])
        assert not mine[:, length:].any()
    assert bool(ours["attention_mask"].any(-1).all())  # an empty row of the mask would make NaN
    pixels, expected = ours["pixel_values"], theirs["pixel_values"]
    assert pixels.dtype == expected.dtype and pixels.shape == expected.shape
    torch.testing.assert_close(pixels, expected, rtol=0, atol=1e-6)


def test_rows_whose_questions_begin_alike_have_the_same_loss(
    processor: LlavaProcessor, model: LlavaForConditionalGeneration, samples: list[Sample]
) -> None:
    turns = (("What is this?", "Riga"), ("What is that?", "48,300"))
    alike = [Sample(samples[0].picture, turns), Sample(None, turns)]
    assert begin_alike(alike[0], processor)
    ours, theirs = Batcher(processor)(alike), packed(Packer(processor, model), alike)
    assert ours["input_ids"].shape != theirs["input_ids"].shape  # the packer shared more
    with torch.no_grad():
        losses = [
            answer_cross_entropy(model, {"roles": batch["labels"], **batch}).item()
            for batch in (ours, theirs)
        ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_only_answers_and_their_ends_are_labelled(
    processor: LlavaProcessor, samples: list[Sample]
) -> None:
    batch = Batcher(processor)(samples)
    end = processor.tokenizer.convert_tokens_to_ids("<|end|>")
    for row, sample in enumerate(samples):
        labels = batch["labels"][row]
        said = processor.tokenizer.decode(labels[labels != IGNORED].tolist())
        assert said == "".join(answer + "<|end|>" for _, answer in sample.turns)
        assert int((labels == end).sum()) == len(sample.turns)


def test_network_and_tokenizer_follow_from_the_seed(
    processor: LlavaProcessor, model: LlavaForConditionalGeneration
) -> None:
    random.random(), torch.rand(1)  # what was drawn before must not matter
    again = build_processor(seed=0)
    assert again.tokenizer.get_vocab() == processor.tokenizer.get_vocab()
    twin, other = build_model(again, seed=0), build_model(again, seed=1)
    weights, same, different = (dict(m.named_parameters()) for m in (model, twin, other))
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    assert any(not torch.equal(weights[name], different[name]) for name in weights)
    assert 6e6 < sum(weight.numel() for weight in weights.values()) < 8e6


def test_the_tokenizer_knows_the_world_and_splits_numbers_into_digits(
    processor: LlavaProcessor,
) -> None:
    tokenizer = processor.tokenizer
    assert len(tokenizer) <= VOCABULARY
    assert tokenizer.tokenize("48,300") == ["4", "8", ",", "3", "0", "0"]
    for person in everybody()[0][:20]:
        for answer in person.facts.values():
            ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
            assert tokenizer.decode(ids) == answer


def test_the_chat_template_puts_the_picture_first(processor: LlavaProcessor) -> None:
    said = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Who?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Riga"}]},
    ]
    text = processor.apply_chat_template(said, tokenize=False)
    assert text == "<|bos|><|user|><image>Who?<|assistant|>Riga<|end|>"
    assert IMAGE_TOKENS == 64
