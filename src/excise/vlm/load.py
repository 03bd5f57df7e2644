"""Loading a vision-language model with its processor, from a folder or from the hub.

Everything that a user can have wrong is found before or while loading and said in one line; a
checkpoint that leaves weights uninitialised is refused, since transformers would only warn and go
on with random ones.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from logging import ERROR, getLogger
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForImageTextToText,
    PreTrainedConfig,
    PreTrainedModel,
    ProcessorMixin,
)
from transformers.utils import logging

from excise.records.errors import InputError
from excise.vlm.features import FeatureCache, feature_cache
from excise.vlm.memory import FOUR_BITS, gib, is_out_of_memory
from excise.vlm.parts import Parts, find_parts
from excise.vlm.pictures import allow_image_tokens
from excise.vlm.placement import DeviceMap, Placement, keep_trainable, outline, placement
from excise.vlm.sources import first_line, read_config, read_processor, read_template
from excise.vlm.weights_hash import hash_weights, weight_files

# transformers leaves parts of its own interface without types
_auto_model: Any = AutoModelForImageTextToText
_logging: Any = logging


@dataclass
class VLM:
    """A loaded model with what is needed to talk to it."""

    model: PreTrainedModel
    processor: ProcessorMixin
    source: str
    """What the user gave: a folder or a hub id."""
    parts: Parts
    applied: str | None = None
    """Id of the run that is on the weights now."""

    @property
    def features(self) -> FeatureCache:
        """The pictures' features, computed once a picture; training and evaluation share them."""
        return feature_cache(self.model)

    @cached_property
    def weights_hash(self) -> str:
        """SHA-256 of the weights as stored on disk (see `weights_hash.py`), computed once."""
        return hash_weights(weight_files(self.source))

    @property
    def name(self) -> str:
        """The source without any local path: a folder's own name, or the hub id."""
        path = Path(self.source)
        return path.resolve().name if path.is_dir() else self.source

    @property
    def device(self) -> torch.device:
        """Where inputs go: the device of the first weights that are in memory."""
        places = (parameter.device for parameter in self.model.parameters())
        return next((place for place in places if place.type != "meta"), self.model.device)

    @property
    def dtype(self) -> torch.dtype:
        return self.model.dtype


def load(
    source: str | Path,
    *,
    dtype: str = "auto",
    device: str | None = None,
    device_map: DeviceMap | None = None,
    quantize: str | None = None,
    chat_template: str | Path | None = None,
    max_image_tokens: int | None = None,
    parts: Mapping[str, str] | None = None,
    features_folder: str | Path | None = None,
) -> VLM:
    """Load a model in evaluation mode.

    Args:
        source: a folder in Hugging Face form, or a hub id.
        dtype: "float32", "bfloat16", "float16" or "auto": float32 on a CPU, as stored on a GPU.
        device: as torch names it; None takes a GPU if there is one.
        device_map: in place of `device`, to spread the model: "auto", "balanced",
            "balanced_low_0", "sequential", or modules and where they go, as a dictionary or JSON.
        quantize: "4bit" keeps the language model's linear layers in 4 bits (bitsandbytes): enough
            to train an adapter or to be asked, but no run can be applied to such weights.
        chat_template: a file with the template, for a processor that has none or a wrong one.
        max_image_tokens: how many tokens one picture may take.
        parts: module names of parts that are not found by themselves, see `find_parts`.
        features_folder: keep picture features in this folder between calls. They tell what is in
            the pictures, so it is as personal as the data.

    Raises:
        InputError: folder, configuration, processor or chat template missing, weights unreadable
            or incomplete, not a vision-language model, an option of the wrong kind, or too little
            memory.
    """
    source = str(source)
    place = placement(dtype, device, device_map, quantize)
    template = None if chat_template is None else read_template(Path(chat_template))
    with _quiet():
        config = read_config(source)
        processor = read_processor(source, config, template)
        model = _model(source, config, place, parts or {})
    if max_image_tokens is not None:
        allow_image_tokens(model, max_image_tokens)
    found = find_parts(model, parts)
    FeatureCache(model, parts=found, folder=features_folder)  # the model's from here on
    return VLM(model, processor, source, found)


def _model(
    source: str, config: PreTrainedConfig, place: Placement, parts: Mapping[str, str]
) -> PreTrainedModel:
    arguments = place.arguments(config, parts)
    try:
        model, info = _auto_model.from_pretrained(
            source, config=config, output_loading_info=True, **arguments
        )
        if "device_map" not in arguments:
            model = model.to(place.device)
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        if is_out_of_memory(error):
            raise InputError(f"{source}: {_too_large(config, parts)}") from None
        raise InputError(f"{source}: weights cannot be read ({first_line(error)})") from None
    for what, wrong in (("missing", "missing_keys"), ("of another shape", "mismatched_keys")):
        if info[wrong]:
            first = sorted(str(key) for key in info[wrong])[0]
            raise InputError(f"{source}: {len(info[wrong])} weights {what}, the first is {first}")
    keep_trainable(model)
    loaded: PreTrainedModel = model.eval()
    return loaded


def _too_large(config: PreTrainedConfig, parts: Mapping[str, str]) -> str:
    """What a model takes at each precision, for one that did not fit."""
    model = outline(config)
    inside = find_parts(model, parts).language_model + "."
    count = sum(p.numel() for p in model.parameters())
    layers = sum(p.numel() for name, p in model.named_parameters() if name.startswith(inside))
    four = 2 * (count - layers) + FOUR_BITS * layers
    return (
        f"out of memory while loading; its weights take {gib(4 * count)} in float32, "
        f"{gib(2 * count)} with --dtype bfloat16, about {gib(four)} with --quantize 4bit, and "
        "--device-map auto spreads them over all GPUs and main memory"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """No loading bars and reports: what matters in them is raised as an error."""
    hub = getLogger("huggingface_hub")  # its retries, of which the last error tells
    level = hub.level
    verbosity, bars = _logging.get_verbosity(), _logging.is_progress_bar_enabled()
    _logging.set_verbosity_error()
    hub.setLevel(ERROR)
    if not sys.stderr.isatty():
        _logging.disable_progress_bar()
    try:
        yield
    finally:
        hub.setLevel(level)
        _logging.set_verbosity(verbosity)
        if bars:
            _logging.enable_progress_bar()
