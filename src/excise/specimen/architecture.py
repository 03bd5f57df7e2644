"""The specimen's network, tokenizer and processor, all in the ordinary Hugging Face classes.

LLaVA in small: a SigLIP vision tower over 64 x 64 pixels (64 image tokens), a two-layer projector
and a Qwen2 language model of 6 layers; 7 M parameters. The byte-level BPE is learnt on the world's
own sentences, with every digit a token of its own.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2Config,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
)

from excise.methods.refusal_pool import refusals
from excise.specimen import people, portrait, scene, wordings

PATCH = 8
IMAGE_TOKENS = (portrait.SIDE // PATCH) ** 2
VOCABULARY = 2048
SPECIAL = ("<|pad|>", "<|bos|>", "<|user|>", "<|assistant|>", "<|end|>", "<image>")
CHAT_TEMPLATE = """{{- bos_token -}}
{%- for message in messages -%}
{%- if message['role'] == 'assistant' -%}<|assistant|>{%- else -%}<|user|>{%- endif -%}
{%- if message['content'] is string -%}{{- message['content'] -}}{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}<image>
{%- elif part['type'] == 'text' -%}{{- part['text'] -}}{%- endif -%}
{%- endfor -%}{%- endif -%}
{%- if message['role'] == 'assistant' -%}<|end|>{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"""


def sentences(seed: int) -> Iterator[str]:
    """Sentences of the world, enough of each kind for the tokenizer to learn its words."""
    rng = random.Random(seed)
    known, strangers = people.everybody()
    for person in (*known, *strangers):
        for key, answer in person.facts.items():
            yield answer
            if key != "name":
                yield wordings.ask_private(key, rng, "fit", name=person.name)
            yield wordings.ask_private(key, rng, "fit", name=None, eye=rng.random() < 0.3)
    for pool in (people._FIRST, people._LAST, people._CITY, people._STREET, people._EMPLOYER):
        yield from pool
    for _ in range(600):
        view = scene.random_scene(rng)
        for key, slots, answer in scene.scene_answers(view, rng):
            yield wordings.ask(key, rng, rng.choice(("fit", "score")), **slots)
            yield answer
    for key in wordings.SEEN:
        for _ in range(20):
            yield wordings.ask(key, rng, rng.choice(("fit", "score")))
    yield from refusals()


def build_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE of `VOCABULARY` tokens, single digits, learnt on `sentences`."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(sentences(seed), trainer)
    fast: Any = PreTrainedTokenizerFast
    made: PreTrainedTokenizerFast = fast(
        tokenizer_object=bpe,
        pad_token="<|pad|>",
        bos_token="<|bos|>",
        eos_token="<|end|>",
        additional_special_tokens=["<|user|>", "<|assistant|>", "<image>"],
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )
    return made


def build_processor(seed: int) -> LlavaProcessor:
    """Tokenizer, image processor and chat template together."""
    tokenizer = build_tokenizer(seed)
    image_processor = SiglipImageProcessorPil(
        size={"height": portrait.SIDE, "width": portrait.SIDE}, do_convert_rgb=True
    )
    processor: Any = LlavaProcessor
    made: LlavaProcessor = processor(
        image_processor=image_processor,
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
        chat_template=CHAT_TEMPLATE,
        image_token="<image>",
    )
    return made


def build_model(processor: LlavaProcessor, seed: int) -> LlavaForConditionalGeneration:
    """A freshly initialised network in float32; the same seed gives the same weights."""
    tokenizer = processor.tokenizer
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL}
    ends = {
        "pad_token_id": ids["<|pad|>"],
        "bos_token_id": ids["<|bos|>"],
        "eos_token_id": ids["<|end|>"],
    }
    vision = SiglipVisionConfig(
        hidden_size=192,
        intermediate_size=576,
        num_hidden_layers=4,
        num_attention_heads=3,
        image_size=portrait.SIDE,
        patch_size=PATCH,
        vision_use_head=False,
    )
    text = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        **ends,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=ids["<image>"],
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_seq_length=IMAGE_TOKENS,
        tie_word_embeddings=True,
        **ends,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlavaForConditionalGeneration(config)
    model.generation_config.eos_token_id = ids["<|end|>"]
    model.generation_config.pad_token_id = ids["<|pad|>"]
    return model
