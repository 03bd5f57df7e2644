"""Tiny random checkpoints of every family, each with its own processor and real files.

`build("qwen2_vl", folder)` writes config, weights, tokenizer, processor and chat template as the
family's hub checkpoints have them, with two layers of 32 and pictures of a few dozen pixels. The
classes are transformers' own, so what loads them loads the real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tests.conftest import byte_level_bpe
from tests.families.templates import TEMPLATES
from tokenizers.processors import TemplateProcessing

HIDDEN, LAYERS, HEADS, POSITIONS = 32, 2, 2, 2048


@dataclass(frozen=True)
class Words:
    """A family's special tokens: `named` are attributes of its tokenizer as well."""

    bos: str | None
    eos: str
    pad: str
    more: tuple[str, ...] = ()
    named: dict[str, str] = field(default_factory=dict)
    adds_bos: bool = False


def build(family: str, folder: Path) -> Path:
    """Write the tiny checkpoint of a family into `folder`; the same weights every time."""
    words, make = FAMILIES[family]
    tokenizer = _tokenizer(words)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        processor, model = make(tokenizer)
        for parameter in model.parameters():  # some families start at zero (gates, tables)
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.1)
    ends = [tokenizer.eos_token_id]
    if "<end_of_turn>" in words.more:
        ends.append(tokenizer.convert_tokens_to_ids("<end_of_turn>"))
    model.generation_config.eos_token_id = ends if len(ends) > 1 else ends[0]
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _tokenizer(words: Words) -> Any:
    special = [words.pad, words.eos, *words.more, *words.named.values()]
    special = list(dict.fromkeys(special if words.bos is None else [words.bos, *special]))
    bpe = byte_level_bpe(special)
    if words.adds_bos and words.bos is not None:
        bpe.post_processor = TemplateProcessing(
            single=f"{words.bos} $A", special_tokens=[(words.bos, bpe.token_to_id(words.bos))]
        )
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=words.bos,
        eos_token=words.eos,
        pad_token=words.pad,
        extra_special_tokens={**words.named} if words.named else [],
        model_max_length=POSITIONS,
    )


def _language(config: type, tokenizer: Any, **more: Any) -> Any:
    return config(
        **{
            "hidden_size": HIDDEN,
            "intermediate_size": 48,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": 1,
            "head_dim": HIDDEN // HEADS,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": POSITIONS,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "initializer_range": 0.3,  # far from ties, so that answers do not hang on rounding
            "tie_word_embeddings": False,
            **more,
        }
    )


def _tower(config: type, **more: Any) -> Any:
    return config(
        **{
            "hidden_size": HIDDEN,
            "intermediate_size": 48,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "image_size": 32,
            "patch_size": 8,
            "initializer_range": 0.1,
            **more,
        }
    )


def _id(tokenizer: Any, token: str) -> int:
    return int(tokenizer.convert_tokens_to_ids(token))


def _llava(tokenizer: Any) -> tuple[Any, Any]:
    processor = hf.LlavaProcessor(
        image_processor=hf.CLIPImageProcessor(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
        ),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATES["llava"],
    )
    config = hf.LlavaConfig(
        vision_config=_tower(hf.CLIPVisionConfig, projection_dim=HIDDEN),
        text_config=_language(hf.LlamaConfig, tokenizer),
        image_token_index=_id(tokenizer, "<image>"),
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
    )
    return processor, hf.LlavaForConditionalGeneration(config)


GRID = [[32, 64], [64, 32], [64, 64], [32, 96], [96, 32]]


def _llava_next(tokenizer: Any) -> tuple[Any, Any]:
    processor = hf.LlavaNextProcessor(
        image_processor=hf.LlavaNextImageProcessor(
            size={"shortest_edge": 32},
            crop_size={"height": 32, "width": 32},
            image_grid_pinpoints=GRID,
        ),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATES["llava_next"],
    )
    config = hf.LlavaNextConfig(
        vision_config=_tower(hf.CLIPVisionConfig, projection_dim=HIDDEN),
        text_config=_language(hf.MistralConfig, tokenizer, sliding_window=None),
        image_token_index=_id(tokenizer, "<image>"),
        image_grid_pinpoints=GRID,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
    )
    return processor, hf.LlavaNextForConditionalGeneration(config)


def _llava_onevision(tokenizer: Any) -> tuple[Any, Any]:
    grid = [[32 * i, 32 * j] for i in range(1, 4) for j in range(1, 4)]
    processor = hf.LlavaOnevisionProcessor(
        image_processor=hf.LlavaOnevisionImageProcessor(
            size={"height": 32, "width": 32}, image_grid_pinpoints=grid
        ),
        tokenizer=tokenizer,
        video_processor=hf.LlavaOnevisionVideoProcessor(size={"height": 32, "width": 32}),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=TEMPLATES["llava_onevision"],
    )
    config = hf.LlavaOnevisionConfig(
        vision_config=_tower(hf.SiglipVisionConfig, vision_use_head=False),
        text_config=_language(hf.Qwen2Config, tokenizer),
        image_token_index=_id(tokenizer, "<image>"),
        video_token_index=_id(tokenizer, "<video>"),
        image_grid_pinpoints=grid,
        tie_word_embeddings=False,
    )
    return processor, hf.LlavaOnevisionForConditionalGeneration(config)


QWEN_PIXELS = {"shortest_edge": 16 * 16, "longest_edge": 64 * 64}


def _qwen_processor(tokenizer: Any, family: str) -> Any:
    classes = {
        "qwen2_vl": (hf.Qwen2VLProcessor, hf.Qwen2VLVideoProcessor),
        "qwen2_5_vl": (hf.Qwen2_5_VLProcessor, hf.Qwen2VLVideoProcessor),
        "qwen3_vl": (hf.Qwen3VLProcessor, hf.Qwen3VLVideoProcessor),
    }
    processor, video = classes[family]
    image = hf.Qwen2VLImageProcessor(
        size=QWEN_PIXELS, patch_size=8, temporal_patch_size=2, merge_size=2
    )
    return processor(
        image_processor=image,
        tokenizer=tokenizer,
        video_processor=video(size=QWEN_PIXELS, patch_size=8, temporal_patch_size=2, merge_size=2),
        chat_template=TEMPLATES[family],
    )


def _qwen_ids(tokenizer: Any) -> dict[str, int]:
    return {
        "image_token_id": _id(tokenizer, "<|image_pad|>"),
        "video_token_id": _id(tokenizer, "<|video_pad|>"),
        "vision_start_token_id": _id(tokenizer, "<|vision_start|>"),
        "vision_end_token_id": _id(tokenizer, "<|vision_end|>"),
    }


SECTIONS = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}


def _qwen2_vl(tokenizer: Any) -> tuple[Any, Any]:
    text = _language(hf.Qwen2VLTextConfig, tokenizer, rope_parameters=SECTIONS)
    vision = hf.Qwen2VLVisionConfig(
        depth=LAYERS, embed_dim=HIDDEN, hidden_size=HIDDEN, num_heads=HEADS, patch_size=8
    )
    config = hf.Qwen2VLConfig(vision_config=vision, text_config=text, **_qwen_ids(tokenizer))
    model = hf.Qwen2VLForConditionalGeneration(config)
    return _qwen_processor(tokenizer, "qwen2_vl"), model


def _qwen2_5_vl(tokenizer: Any) -> tuple[Any, Any]:
    text = _language(hf.Qwen2_5_VLTextConfig, tokenizer, rope_parameters=SECTIONS)
    vision = hf.Qwen2_5_VLVisionConfig(
        depth=LAYERS,
        hidden_size=HIDDEN,
        out_hidden_size=HIDDEN,
        intermediate_size=48,
        num_heads=HEADS,
        patch_size=8,
        window_size=32,
        fullatt_block_indexes=[1],
    )
    config = hf.Qwen2_5_VLConfig(vision_config=vision, text_config=text, **_qwen_ids(tokenizer))
    model = hf.Qwen2_5_VLForConditionalGeneration(config)
    return _qwen_processor(tokenizer, "qwen2_5_vl"), model


def _qwen3_vl(tokenizer: Any) -> tuple[Any, Any]:
    sections = {**SECTIONS, "mrope_interleaved": True}
    text = _language(hf.Qwen3VLTextConfig, tokenizer, rope_parameters=sections)
    vision = hf.Qwen3VLVisionConfig(
        depth=LAYERS,
        hidden_size=HIDDEN,
        out_hidden_size=HIDDEN,
        intermediate_size=48,
        num_heads=HEADS,
        patch_size=8,
        num_position_embeddings=64,
        deepstack_visual_indexes=[0, 1],
    )
    config = hf.Qwen3VLConfig(vision_config=vision, text_config=text, **_qwen_ids(tokenizer))
    model = hf.Qwen3VLForConditionalGeneration(config)
    return _qwen_processor(tokenizer, "qwen3_vl"), model


def _internvl(tokenizer: Any) -> tuple[Any, Any]:
    processor = hf.InternVLProcessor(
        image_processor=hf.GotOcr2ImageProcessor(
            size={"height": 32, "width": 32}, crop_to_patches=True, min_patches=1, max_patches=4
        ),
        tokenizer=tokenizer,
        video_processor=hf.InternVLVideoProcessor(size={"height": 32, "width": 32}),
        image_seq_length=4,
        chat_template=TEMPLATES["internvl"],
    )
    config = hf.InternVLConfig(
        vision_config=_tower(hf.InternVLVisionConfig),
        text_config=_language(hf.Qwen2Config, tokenizer),
        image_token_id=_id(tokenizer, "<IMG_CONTEXT>"),
        image_seq_length=4,
        downsample_ratio=0.5,
        tie_word_embeddings=False,
    )
    return processor, hf.InternVLForConditionalGeneration(config)


def _gemma3(tokenizer: Any) -> tuple[Any, Any]:
    processor = hf.Gemma3Processor(
        image_processor=hf.Gemma3ImageProcessor(size={"height": 32, "width": 32}),
        tokenizer=tokenizer,
        image_seq_length=4,
        chat_template=TEMPLATES["gemma3"],
    )
    text = _language(
        hf.Gemma3TextConfig,
        tokenizer,
        sliding_window=16,
        layer_types=["sliding_attention", "full_attention"],
        query_pre_attn_scalar=16,
    )
    config = hf.Gemma3Config(
        vision_config=_tower(hf.SiglipVisionConfig, vision_use_head=False),
        text_config=text,
        mm_tokens_per_image=4,
        boi_token_index=_id(tokenizer, "<start_of_image>"),
        eoi_token_index=_id(tokenizer, "<end_of_image>"),
        image_token_index=_id(tokenizer, "<image_soft_token>"),
        tie_word_embeddings=False,
    )
    return processor, hf.Gemma3ForConditionalGeneration(config)


def _tiles(image_processor: type) -> Any:
    return image_processor(size={"longest_edge": 64}, max_image_size={"longest_edge": 32})


def _smolvlm(tokenizer: Any) -> tuple[Any, Any]:
    processor = hf.SmolVLMProcessor(
        image_processor=_tiles(hf.SmolVLMImageProcessor),
        tokenizer=tokenizer,
        video_processor=hf.SmolVLMVideoProcessor(
            size={"longest_edge": 64},
            max_image_size={"longest_edge": 32},
            video_sampling={"fps": 1, "max_frames": 4, "video_size": {"longest_edge": 32}},
        ),
        image_seq_len=4,
        chat_template=TEMPLATES["smolvlm"],
    )
    config = hf.SmolVLMConfig(
        vision_config=_tower(hf.SmolVLMVisionConfig),
        text_config=_language(hf.LlamaConfig, tokenizer),
        image_token_id=_id(tokenizer, "<image>"),
        scale_factor=2,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    return processor, hf.SmolVLMForConditionalGeneration(config)


def _idefics3(tokenizer: Any) -> tuple[Any, Any]:
    processor = hf.Idefics3Processor(
        image_processor=_tiles(hf.Idefics3ImageProcessor),
        tokenizer=tokenizer,
        image_seq_len=4,
        chat_template=TEMPLATES["idefics3"],
    )
    config = hf.Idefics3Config(
        vision_config=_tower(hf.Idefics3VisionConfig),
        text_config=_language(hf.LlamaConfig, tokenizer),
        image_token_id=_id(tokenizer, "<image>"),
        scale_factor=2,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    return processor, hf.Idefics3ForConditionalGeneration(config)


def _paligemma(tokenizer: Any) -> tuple[Any, Any]:
    image_processor = hf.SiglipImageProcessor(size={"height": 32, "width": 32})
    image_processor.image_seq_length = 16
    processor = hf.PaliGemmaProcessor(image_processor=image_processor, tokenizer=tokenizer)
    config = hf.PaliGemmaConfig(
        vision_config=_tower(hf.SiglipVisionConfig, vision_use_head=False, projection_dim=HIDDEN),
        text_config=_language(hf.GemmaConfig, processor.tokenizer),
        image_token_index=_id(tokenizer, "<image>"),
        projection_dim=HIDDEN,
        hidden_size=HIDDEN,
        vocab_size=len(processor.tokenizer),
        tie_word_embeddings=False,
    )
    return processor, hf.PaliGemmaForConditionalGeneration(config)


def _pixtral_processor(tokenizer: Any, family: str, merge: int) -> Any:
    return hf.PixtralProcessor(
        image_processor=hf.PixtralImageProcessor(
            size={"longest_edge": 64}, patch_size={"height": 8, "width": 8}
        ),
        tokenizer=tokenizer,
        patch_size=8,
        spatial_merge_size=merge,
        chat_template=TEMPLATES[family],
    )


def _pixtral(tokenizer: Any) -> tuple[Any, Any]:
    config = hf.LlavaConfig(
        vision_config=_tower(hf.PixtralVisionConfig, image_size=64),
        text_config=_language(hf.MistralConfig, tokenizer, sliding_window=None),
        image_token_index=_id(tokenizer, "[IMG]"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_seq_length=1,
        tie_word_embeddings=False,
    )
    return _pixtral_processor(tokenizer, "pixtral", 1), hf.LlavaForConditionalGeneration(config)


def _mistral3(tokenizer: Any) -> tuple[Any, Any]:
    config = hf.Mistral3Config(
        vision_config=_tower(hf.PixtralVisionConfig, image_size=64),
        text_config=_language(hf.MistralConfig, tokenizer, sliding_window=None),
        image_token_index=_id(tokenizer, "[IMG]"),
        spatial_merge_size=2,
        tie_word_embeddings=False,
    )
    model = hf.Mistral3ForConditionalGeneration(config)
    return _pixtral_processor(tokenizer, "mistral3", 2), model


def _mllama(tokenizer: Any) -> tuple[Any, Any]:
    processor = hf.MllamaProcessor(
        image_processor=hf.MllamaImageProcessor(
            size={"height": 32, "width": 32}, max_image_tiles=4
        ),
        tokenizer=tokenizer,
        chat_template=TEMPLATES["mllama"],
    )
    vision = hf.MllamaVisionConfig(
        hidden_size=HIDDEN,
        intermediate_size=48,
        num_hidden_layers=LAYERS,
        num_global_layers=1,
        attention_heads=HEADS,
        vision_output_dim=3 * HIDDEN,
        image_size=32,
        patch_size=8,
        intermediate_layers_indices=[0, 1],
    )
    # Its image token lies behind the vocabulary: the head has no word for it.
    text = _language(hf.MllamaTextConfig, tokenizer, cross_attention_layers=[1])
    config = hf.MllamaConfig(
        vision_config=vision, text_config=text, image_token_index=_id(tokenizer, "<|image|>")
    )
    return processor, hf.MllamaForConditionalGeneration(config)


_LLAMA = Words("<s>", "</s>", "<unk>", ("<image>",), adds_bos=True)
_CHATML = ("<|im_start|>", "<|im_end|>")
_QWEN = Words(
    None,
    "<|im_end|>",
    "<|endoftext|>",
    (*_CHATML, "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
)
_ROWS = tuple(f"<row_{i}_col_{j}>" for i in range(1, 5) for j in range(1, 5))
_TILES = ("<fake_token_around_image>", "<image>", "<global-img>", *_ROWS)
_SYSTEM = ("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]")
_MISTRAL = Words(
    "<s>",
    "</s>",
    "<pad>",
    ("[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]", *_SYSTEM),
    adds_bos=True,
)

FAMILIES: dict[str, tuple[Words, Callable[[Any], tuple[Any, Any]]]] = {
    "llava": (_LLAMA, _llava),
    "llava_next": (_LLAMA, _llava_next),
    "llava_onevision": (
        Words(None, "<|im_end|>", "<|endoftext|>", (*_CHATML, "<image>", "<video>")),
        _llava_onevision,
    ),
    "qwen2_vl": (_QWEN, _qwen2_vl),
    "qwen2_5_vl": (_QWEN, _qwen2_5_vl),
    "qwen3_vl": (_QWEN, _qwen3_vl),
    "internvl": (
        Words(
            None,
            "<|im_end|>",
            "<|endoftext|>",
            _CHATML,
            {
                "start_image_token": "<img>",
                "end_image_token": "</img>",
                "context_image_token": "<IMG_CONTEXT>",
                "video_token": "<video>",
            },
        ),
        _internvl,
    ),
    "gemma3": (
        Words(
            "<bos>",
            "<eos>",
            "<pad>",
            ("<start_of_turn>", "<end_of_turn>"),
            {
                "boi_token": "<start_of_image>",
                "eoi_token": "<end_of_image>",
                "image_token": "<image_soft_token>",
            },
            adds_bos=True,
        ),
        _gemma3,
    ),
    "smolvlm": (
        Words("<|im_start|>", "<end_of_utterance>", "<|im_end|>", _TILES),
        _smolvlm,
    ),
    "idefics3": (
        Words("<|begin_of_text|>", "<|end_of_text|>", "<|pad|>", (*_TILES, "<end_of_utterance>")),
        _idefics3,
    ),
    "paligemma": (Words("<bos>", "<eos>", "<pad>", ("<image>",)), _paligemma),
    "pixtral": (_MISTRAL, _pixtral),
    "mistral3": (_MISTRAL, _mistral3),
    "mllama": (
        Words(
            "<|begin_of_text|>",
            "<|eot_id|>",
            "<|finetune_right_pad_id|>",
            ("<|start_header_id|>", "<|end_header_id|>", "<|python_tag|>", "<|image|>"),
            adds_bos=True,
        ),
        _mllama,
    ),
}
