"""Loading a vision-language model with its processor, from a folder or from the hub.

Everything that a user can have wrong is found before or while loading and said in one line; a
checkpoint that leaves weights uninitialised is refused, since transformers would only warn and go
on with random ones.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from logging import ERROR, getLogger
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    PreTrainedConfig,
    PreTrainedModel,
    ProcessorMixin,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
from transformers.utils import logging

from excise.records.errors import InputError
from excise.vlm.parts import Parts, find_parts
from excise.vlm.weights_hash import hash_weights, weight_files

# transformers leaves parts of its own interface without types
_auto_model: Any = AutoModelForImageTextToText
_auto_processor: Any = AutoProcessor
_logging: Any = logging

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


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
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        return self.model.dtype


def load(source: str | Path, *, dtype: str = "auto", device: str | None = None) -> VLM:
    """Load a model in evaluation mode.

    Args:
        source: a folder in Hugging Face form, or a hub id.
        dtype: "float32", "bfloat16", "float16" or "auto": float32 on a CPU, as stored on a GPU.
        device: as torch names it; None takes a GPU if there is one.

    Raises:
        InputError: folder, configuration, processor or chat template missing, weights unreadable
            or incomplete, or not a vision-language model.
    """
    source = str(source)
    if dtype != "auto" and dtype not in DTYPES:
        raise InputError(f'unknown dtype "{dtype}", expected auto, {", ".join(DTYPES)}')
    place = _device(device)
    with _quiet():
        config = _config(source)
        processor = _processor(source)
        model = _model(source, config, dtype, place)
    return VLM(model=model, processor=processor, source=source, parts=find_parts(model))


def _device(device: str | None) -> torch.device:
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        place = torch.device(device)
    except RuntimeError:
        raise InputError(f'unknown device "{device}", expected cpu, cuda or cuda:N') from None
    if place.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f'device "{device}": no GPU can be used here, expected cpu')
    return place


def _config(source: str) -> PreTrainedConfig:
    folder = Path(source)
    if not folder.is_dir():
        if folder.is_file():
            raise InputError(f"{source}: is a file, expected a model folder or a hub id")
        if source.startswith((".", "~", "/")) or source.count("/") != 1 or "\\" in source:
            raise InputError(f"{source}: model folder not found")
    elif not (folder / "config.json").is_file():
        raise InputError(f"{source}: config.json is missing, expected a Hugging Face model folder")
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(source)
    except Exception as error:
        if not folder.is_dir():
            raise InputError(
                f"{source}: neither a folder here nor a model that the hub gives ({_line(error)})"
            ) from None
        raise InputError(f"{source}: config.json cannot be read ({_line(error)})") from None
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        raise InputError(
            f'{source}: model type "{config.model_type}" is not a vision-language model'
        )
    return config


def _processor(source: str) -> ProcessorMixin:
    try:
        processor: ProcessorMixin = _auto_processor.from_pretrained(source)
    except ImportError as error:
        raise InputError(f"{source}: its processor needs a package ({_line(error)})") from None
    except Exception as error:
        raise InputError(f"{source}: has no usable processor ({_line(error)})") from None
    for part in ("tokenizer", "image_processor"):
        if getattr(processor, part, None) is None:
            raise InputError(
                f"{source}: processor without {part}, expected processor_config.json or "
                "preprocessor_config.json beside the tokenizer"
            )
    if not getattr(processor, "chat_template", None):
        raise InputError(f"{source}: processor without chat template, expected chat_template.jinja")
    return processor


def _model(
    source: str, config: PreTrainedConfig, dtype: str, device: torch.device
) -> PreTrainedModel:
    wanted = DTYPES.get(dtype, torch.float32 if device.type == "cpu" else "auto")
    try:
        model, info = _auto_model.from_pretrained(
            source, config=config, dtype=wanted, output_loading_info=True
        )
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise InputError(f"{source}: weights cannot be read ({_line(error)})") from None
    for what, wrong in (("missing", "missing_keys"), ("of another shape", "mismatched_keys")):
        if info[wrong]:
            first = sorted(str(key) for key in info[wrong])[0]
            raise InputError(f"{source}: {len(info[wrong])} weights {what}, the first is {first}")
    loaded: PreTrainedModel = model.to(device).eval()
    return loaded


def _line(error: BaseException) -> str:
    """The first line of a foreign error, short enough for a message of one line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]


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
