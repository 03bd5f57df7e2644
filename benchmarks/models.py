"""What is measured: a model, and pictures with ten questions each.

`specimen` is the shipped checkpoint. `llava-1.5-7b` and `qwen2.5-vl-7b` are networks of those
shapes with random weights, made on the device itself; speed and memory do not depend on the values.
Nothing is fetched: their processor is put together here from the ordinary classes and the
specimen's tokenizer, filled up with words that no text holds to the vocabulary of the real one, so
that every generated token can be told from every other. A folder is loaded as it is.
Pictures and questions are the specimen's people, drawn anew; a picture is 576 tokens at full size.
"""

from __future__ import annotations

import dataclasses
import json
import random
from argparse import ArgumentParser, Namespace
from typing import Any

SHAPES = ("llava-1.5-7b", "qwen2.5-vl-7b")
NOT_A_WORD = "w"
VISION = ("<|vision_start|>", "<|vision_end|>", "<|video_pad|>")
SIDE = {"llava-1.5-7b": 336, "qwen2.5-vl-7b": 672}
"""Pixels a side that make 576 image tokens: 24 patches of 14, or 24 fours of them."""


def add_options(parser: ArgumentParser) -> None:
    """The options by which a model and its questions are chosen; shared by the benchmarks."""
    say = parser.add_argument
    say("--model", default="specimen", help="specimen, a folder, " + " or ".join(SHAPES))
    say("--layers", type=int, help="shorten the stack of a random model to so many layers")
    say("--scale", type=int, default=1, help="divide the widths of a random model, to try it out")
    say("--device", help="cpu or cuda; a GPU for the large shapes, the CPU for the specimen")
    say("--dtype", choices=("float32", "bfloat16"), help="float32 on a CPU, else bfloat16")
    say("--threads", type=int, help="threads of torch on the CPU")
    say("--pictures", type=int, help="how many pictures")
    say("--questions", type=int, default=10, help="questions a picture, at most 16")
    say("--turns", type=int, help="turns a side")
    say("--seed", type=int, default=0)
    say("--json", help="write the figures to this file")
    say("--side", help="(for the benchmark itself: which side this process is)")


def settle(given: Namespace) -> None:
    """Fill in what follows from the model."""
    large = given.model in SHAPES
    given.device = given.device or ("cuda" if large and given.scale == 1 else "cpu")
    given.dtype = given.dtype or ("float32" if given.device == "cpu" else "bfloat16")
    if not 1 <= given.questions <= 16:
        raise SystemExit(f"--questions {given.questions}: expected 1 to 16")
    if large and given.device != "cpu":
        import torch

        if not torch.cuda.is_available():
            raise SystemExit(f"{given.model}: no GPU can be used here; try --device cpu --layers 1")


def load(given: Namespace) -> Any:
    """The model as `excise.vlm.VLM`, on its device, in evaluation mode."""
    import torch

    from excise import specimen
    from excise.vlm import load as load_checkpoint

    if given.threads:
        torch.set_num_threads(given.threads)
    if given.model in SHAPES:
        return random_model(given)
    source = specimen.checkpoint() if given.model == "specimen" else given.model
    return load_checkpoint(source, dtype=given.dtype, device=given.device)


def cold(loaded: Any) -> Any:
    """The same model with nothing kept of its pictures, as in a process just begun."""
    vlm = dataclasses.replace(loaded)
    vlm.weights_hash = loaded.weights_hash
    vlm.features.clear()
    return vlm


def rows(given: Namespace) -> list[Any]:
    """Pictures and their questions, as `excise.vlm.Row`."""
    from excise.specimen.curriculum import know_by_picture
    from excise.specimen.people import FACTS, everybody
    from excise.vlm import Row, Turn

    rng = random.Random(given.seed)
    known, _ = everybody()
    made = []
    for number in range(given.pictures):
        person = known[number % len(known)]
        looks = max(0, given.questions - len(FACTS))
        sample = know_by_picture(person, rng, looks, eyes=0.3)
        assert sample.picture is not None
        picture = sample.picture
        if given.model in SHAPES:
            picture = picture.resize((SIDE[given.model],) * 2)
        turns = [
            Turn(question, answer, record=f"{number}-{place}")
            for place, (question, answer) in enumerate(sample.turns[: given.questions])
        ]
        made.append(Row(picture, tuple(turns)))
    return made


def random_model(given: Namespace) -> Any:
    """A network of the shape of a 7B model, its weights drawn at random on the device."""
    import torch
    from transformers import AutoModelForImageTextToText

    from excise.vlm import VLM, find_parts

    tokenizer, config, processor = (_llava if given.model == SHAPES[0] else _qwen)(
        layers=given.layers, scale=given.scale
    )
    torch.manual_seed(given.seed)
    auto: Any = AutoModelForImageTextToText
    with torch.device(given.device):
        model = auto.from_config(config, dtype=getattr(torch, given.dtype)).eval()
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    vlm = VLM(model=model, processor=processor, source=given.model, parts=find_parts(model))
    vlm.weights_hash = f"random-{given.seed}"  # there is no file to take it from
    return vlm


def _tokenizer(vocabulary: int) -> Any:
    """The specimen's tokenizer with marks for vision, filled up to a vocabulary."""
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    from excise import specimen

    auto: Any = AutoTokenizer
    base = auto.from_pretrained(specimen.checkpoint())
    state = json.loads(base.backend_tokenizer.to_str())
    words = state["model"]["vocab"]
    fill = [*VISION, *(f"{NOT_A_WORD}{i}" for i in range(vocabulary - len(base) - len(VISION)))]
    words.update({word: len(base) + place for place, word in enumerate(fill)})
    fast: Any = PreTrainedTokenizerFast
    return fast(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)),
        pad_token=base.pad_token,
        bos_token=base.bos_token,
        eos_token=base.eos_token,
        additional_special_tokens=["<|user|>", "<|assistant|>", "<image>", *VISION],
    )


def _template(wrap: str) -> str:
    from excise.specimen.architecture import CHAT_TEMPLATE

    assert "<image>" in CHAT_TEMPLATE
    return CHAT_TEMPLATE.replace("<image>", wrap)


def _llava(*, layers: int | None, scale: int) -> tuple[Any, Any, Any]:
    """LLaVA-1.5-7B: CLIP ViT-L/14 at 336 pixels, a projector, Vicuna (Llama) 7B."""
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaProcessor,
    )

    vocabulary = max(32064 // scale, 4096)
    tokenizer = _tokenizer(vocabulary)
    heads, seeing, depth = max(1, 32 // scale), max(1, 16 // scale), layers or 32
    ends = _ends(tokenizer)
    text = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=128 * heads,
        intermediate_size=344 * heads,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        max_position_embeddings=4096,
        rms_norm_eps=1e-5,
        **ends,
    )
    vision = CLIPVisionConfig(
        hidden_size=64 * seeing,
        intermediate_size=256 * seeing,
        num_hidden_layers=max(2, 24 * depth // 32),
        num_attention_heads=seeing,
        image_size=336,
        patch_size=14,
        projection_dim=48 * seeing,
    )
    config = LlavaConfig(
        text_config=text,
        vision_config=vision,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=576,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        **ends,
    )
    make: Any = LlavaProcessor
    processor = make(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}
        ),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_template("<image>"),
        image_token="<image>",
    )
    return tokenizer, config, processor


def _qwen(*, layers: int | None, scale: int) -> tuple[Any, Any, Any]:
    """Qwen2.5-VL-7B: its windowed ViT over patches of 14, merged in fours, and Qwen2.5 7B."""
    from transformers import (
        ProcessorMixin,
        Qwen2_5_VLConfig,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessorPil,
    )

    class Pictures(Qwen2_5_VLProcessor):  # type: ignore[misc,unused-ignore]
        """Without the part for films, which needs torchvision."""

        def __init__(self, image_processor=None, tokenizer=None, chat_template=None):  # type: ignore[no-untyped-def]
            self.image_token, self.video_token = "<image>", "<|video_pad|>"
            self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
            self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
            ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    vocabulary = max(152064 // scale, 4096)
    tokenizer = _tokenizer(vocabulary)
    groups, seeing, depth = max(1, 4 // scale), max(1, 16 // scale), layers or 28
    seeing_depth = max(1, 32 * depth // 28)
    heads, ends = 7 * groups, _ends(tokenizer)
    find = tokenizer.convert_tokens_to_ids
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": vocabulary,
            "hidden_size": 128 * heads,
            "intermediate_size": 18944 if scale == 1 else 256 * heads,
            "num_hidden_layers": depth,
            "num_attention_heads": heads,
            "num_key_value_heads": groups,
            "max_position_embeddings": 32768,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e6,
                "mrope_section": [16, 24, 24],
            },
            **ends,
        },
        vision_config={
            "depth": seeing_depth,
            "hidden_size": 80 * seeing,
            "intermediate_size": 3420 if scale == 1 else 160 * seeing,
            "num_heads": seeing,
            "out_hidden_size": 128 * heads,
            "fullatt_block_indexes": [i for i in (7, 15, 23, 31) if i < seeing_depth],
        },
        image_token_id=find("<image>"),
        video_token_id=find("<|video_pad|>"),
        vision_start_token_id=find("<|vision_start|>"),
        vision_end_token_id=find("<|vision_end|>"),
        **ends,
    )
    processor = Pictures(
        image_processor=Qwen2VLImageProcessorPil(),
        tokenizer=tokenizer,
        chat_template=_template("<|vision_start|><image><|vision_end|>"),
    )
    return tokenizer, config, processor


def _ends(tokenizer: Any) -> dict[str, int]:
    return {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
