"""A miniature vision-language checkpoint, made once a session: random weights, real files."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # rooms without a model must not wait for torch
    from collections.abc import Sequence

    from PIL import Image
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    from excise.vlm import VLM

SPECIAL = ["<pad>", "<bos>", "<user>", "<assistant>", "<end>", "<image>"]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<user>' if message['role'] == 'user' else '<assistant>' }}"
    "{% for part in message['content'] %}"
    "{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}"
    "{{ '<end>' if message['role'] == 'assistant' else '' }}"
    "{% endfor %}{{ '<assistant>' if add_generation_prompt else '' }}"
)
LINES = [
    "What is the name of this person? Vera Lindqvist lives in Riga.",
    "Where does this person work? At the harbour of Tallinn, as a nurse.",
    "What colour is the hair of the person in the picture? Blond, brown, black.",
    "Which illness does Edgar Montfort have? I am not able to help with that.",
]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the families to a process of their own, which names their folder (see `make test`)."""
    families = Path(__file__).parent / "families"
    if collection_path != families:
        return None
    named = [Path(config.invocation_params.dir, arg.split("::")[0]) for arg in config.args]
    return None if any(path.is_relative_to(families) for path in named) else True


def byte_level_bpe(special: Sequence[str]) -> Tokenizer:
    """A byte-level BPE of a few dozen merges, learnt from `LINES`; `special` come first."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        LINES,
        trainers.BpeTrainer(
            vocab_size=314 + len(special), special_tokens=list(special), initial_alphabet=alphabet
        ),
    )
    return tokenizer


def _tokenizer() -> PreTrainedTokenizerFast:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=byte_level_bpe(SPECIAL),
        bos_token="<bos>",
        eos_token="<end>",
        pad_token="<pad>",
        additional_special_tokens=["<user>", "<assistant>", "<image>"],
    )


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA of 40,000 random weights: 64x64 pictures, 16 image tokens, 2 + 2 layers of 32."""
    import torch
    from transformers import (
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        Qwen2Config,
        SiglipImageProcessorPil,
        SiglipVisionConfig,
    )

    folder = tmp_path_factory.mktemp("models") / "tiny-llava"
    tokenizer = _tokenizer()
    processor = LlavaProcessor(
        image_processor=SiglipImageProcessorPil(size={"height": 64, "width": 64}),
        tokenizer=tokenizer,
        patch_size=16,
        vision_feature_select_strategy="full",
        chat_template=TEMPLATE,
        image_token="<image>",
    )
    vision = SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=64,
        patch_size=16,
        vision_use_head=False,
    )
    text = Qwen2Config(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=len(tokenizer),
        max_position_embeddings=256,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.3,  # far from ties, so that greedy answers do not hang on rounding
        tie_word_embeddings=False,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlavaForConditionalGeneration(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture
def tiny(checkpoint: Path) -> VLM:
    """The miniature, loaded anew for each test, so that no test sees another one's changes."""
    from excise.vlm import load

    return load(checkpoint, device="cpu")


@pytest.fixture
def pictures() -> list[Image.Image]:
    """Four different RGB pictures of 64x64 noise."""
    from PIL import Image

    noise = random.Random(1)
    return [Image.frombytes("RGB", (64, 64), noise.randbytes(64 * 64 * 3)) for _ in range(4)]
