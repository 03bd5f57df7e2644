from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image
from tests.families.checkpoints import FAMILIES
from tests.families.conftest import FamilyCheckpoint, FamilyVLM
from tests.families.templates import TEMPLATES

from excise.records.errors import InputError
from excise.vlm import VLM, Chat, load
from excise.vlm.pictures import EncodedPicture, Pictures, allow_image_tokens, join_pictures

QUESTIONS = ("Where does this person live?", "(1) What is it?", "q")
WITH_TEMPLATE = [family for family in FAMILIES if TEMPLATES[family] is not None]
ENCODES_MORE_THAN_ONE_SHAPE = {"llava_next", "llava_onevision", "qwen2_vl", "qwen2_5_vl"} | {
    "qwen3_vl", "internvl", "smolvlm", "idefics3", "pixtral", "mistral3"
}  # fmt: skip


def _pictures(vlm: VLM) -> Pictures:
    return Pictures(Chat(vlm.processor, vlm.model), vlm.model)


@pytest.mark.parametrize("family", WITH_TEMPLATE)
def test_prompts_and_inputs_are_those_of_the_processor(
    family: str, family_vlm: FamilyVLM, shapes: list[Image.Image]
) -> None:
    vlm = family_vlm(family)
    pictures = _pictures(vlm)
    processor: Any = vlm.processor
    for picture in shapes[1:]:
        encoded = pictures.encode(picture)
        for question in QUESTIONS:
            content = [{"type": "image", "image": picture}, {"type": "text", "text": question}]
            expected = processor.apply_chat_template(
                [{"role": "user", "content": content}],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
            )
            ids = encoded.splice.apply(pictures._chat.prompt(question, picture=True))
            assert list(ids) == expected["input_ids"][0].tolist()
            given = pictures.token_inputs(encoded, len(ids), len(ids))
            given = {name: value[None] for name, value in given.items()} | encoded.tensors
            assert set(given) == set(expected) - {"input_ids", "attention_mask"}
            for name, value in given.items():
                assert value.equal(expected[name]), name


def test_paligemma_gets_the_prompt_that_its_processor_makes_of_a_question(
    family_vlm: FamilyVLM, shapes: list[Image.Image]
) -> None:
    vlm = family_vlm("paligemma")
    pictures = _pictures(vlm)
    processor: Any = vlm.processor
    encoded = pictures.encode(shapes[0])
    for question in QUESTIONS:
        expected = processor(text=f"<image>{question}", images=shapes[0], return_tensors="pt")
        ids = encoded.splice.apply(pictures._chat.prompt(question, picture=True))
        assert list(ids) == expected["input_ids"][0].tolist()
    types = pictures.token_inputs(encoded, len(ids) + 3, len(ids))["token_type_ids"]
    assert types.tolist() == [0] * len(ids) + [1] * 3
    alone = pictures.token_inputs(None, 7, 5)["token_type_ids"]
    assert alone.tolist() == [0] * 5 + [1] * 2


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_makes_a_feature_for_every_image_token(
    family: str, family_vlm: FamilyVLM, shapes: list[Image.Image]
) -> None:
    vlm = family_vlm(family)
    pictures = _pictures(vlm)
    counts = [pictures.encode(picture).image_tokens for picture in shapes]
    assert counts[0] == counts[1]
    assert (len(set(counts)) > 1) == (family in ENCODES_MORE_THAN_ONE_SHAPE)
    ids = torch.tensor([_ids(pictures, pictures.encode(shapes[2]))])
    assert int((ids == pictures._chat.image_id).sum()) == counts[2]


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_of_several_shapes_in_a_batch_give_what_each_gives_alone(
    family: str, family_vlm: FamilyVLM, shapes: list[Image.Image]
) -> None:
    vlm = family_vlm(family)
    pictures = _pictures(vlm)
    encoded = [pictures.encode(picture) for picture in shapes]
    alone = [_logits(vlm, pictures, [each])[0] for each in encoded]
    together = _logits(vlm, pictures, encoded)
    for one, row in zip(alone, together, strict=True):
        assert torch.allclose(one, row, atol=1e-4)
    assert not torch.allclose(alone[0], alone[1], atol=1e-2)  # the picture matters


@torch.no_grad()
def _logits(vlm: VLM, pictures: Pictures, encoded: list[EncodedPicture]) -> list[torch.Tensor]:
    """The last logits of the same question about each picture, padded on the left in a batch."""
    model: Any = vlm.model
    whole = [_ids(pictures, each) for each in encoded]
    longest = max(map(len, whole))
    ids = torch.full((len(whole), longest), pictures._chat.pad_id)
    mask = torch.zeros_like(ids)
    tokens: dict[str, list[torch.Tensor]] = {}
    for row, (each, own) in enumerate(zip(encoded, whole, strict=True)):
        ids[row, longest - len(own) :] = torch.tensor(own)
        mask[row, longest - len(own) :] = 1
        for name, value in pictures.token_inputs(each, len(own), len(own)).items():
            padded = value.new_zeros(longest, *value.shape[1:])
            padded[longest - len(own) :] = value
            tokens.setdefault(name, []).append(padded)
    inputs = {name: torch.stack(values) for name, values in tokens.items()}
    out = model(input_ids=ids, attention_mask=mask, **inputs, **join_pictures(list(encoded)))
    return list(out.logits[:, -1])


def _ids(pictures: Pictures, encoded: EncodedPicture) -> tuple[int, ...]:
    return encoded.splice.apply(pictures._chat.prompt(QUESTIONS[0], picture=True))


def test_under_cross_attention_a_sequence_without_picture_has_an_entry_of_zeros(
    family_vlm: FamilyVLM, shapes: list[Image.Image]
) -> None:
    pictures = _pictures(family_vlm("mllama"))
    encoded = pictures.encode(shapes[0])
    joined = join_pictures([None, encoded])
    assert joined["pixel_values"].shape[0] == 2
    assert not joined["pixel_values"][0].any()
    assert joined["pixel_values"][1:].equal(encoded.tensors["pixel_values"])


@pytest.mark.parametrize("family", ["qwen2_vl", "llava_next", "mistral3", "smolvlm"])
def test_a_picture_of_too_many_tokens_is_refused_with_the_limit(
    family: str, family_checkpoint: FamilyCheckpoint, shapes: list[Image.Image]
) -> None:
    vlm = load(family_checkpoint(family), device="cpu", max_image_tokens=7)
    with pytest.raises(InputError, match=r"makes \d+ image tokens, at most 7 .*--max-image-tokens"):
        _pictures(vlm).encode(shapes[0])
    allow_image_tokens(vlm.model, 100)
    assert _pictures(vlm).encode(shapes[0]).image_tokens > 7


def test_a_picture_that_would_be_cut_off_is_refused(
    family_checkpoint: FamilyCheckpoint, shapes: list[Image.Image]
) -> None:
    vlm = load(family_checkpoint("pixtral"), device="cpu")
    vlm.model.config.get_text_config().max_position_embeddings = 40
    with pytest.raises(InputError, match=r"takes 54 tokens, .* at the model's 40 positions"):
        _pictures(vlm).encode(shapes[0])


def test_a_processor_that_truncates_does_not_cut_a_picture(
    family_checkpoint: FamilyCheckpoint, shapes: list[Image.Image]
) -> None:
    vlm = load(family_checkpoint("pixtral"), device="cpu")
    processor: Any = vlm.processor
    processor.tokenizer.model_max_length = 16
    processor.tokenizer.init_kwargs["truncation"] = True
    assert _pictures(vlm).encode(shapes[0]).image_tokens == 48
