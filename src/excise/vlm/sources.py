"""The configuration and the processor of a source, and what can be wrong with them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoProcessor, PreTrainedConfig, ProcessorMixin
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

from excise.records.errors import InputError
from excise.vlm import families
from excise.vlm.chat import NO_TEMPLATE

_auto_processor: Any = AutoProcessor  # which transformers leaves without types


def read_config(source: str) -> PreTrainedConfig:
    """Raises InputError if it is missing, unreadable, or no vision-language model's."""
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
            line = first_line(error)
            raise InputError(
                f"{source}: neither a folder here nor a model that the hub gives ({line})"
            ) from None
        raise InputError(f"{source}: config.json cannot be read ({first_line(error)})") from None
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        raise InputError(
            f'{source}: model type "{config.model_type}" is not a vision-language model'
        )
    return config


def read_template(path: Path) -> str:
    """Raises InputError if the file cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path}: no such text file, expected a chat template") from None


def read_processor(source: str, config: PreTrainedConfig, template: str | None) -> ProcessorMixin:
    """The processor, with `template` or its own, else its family's.

    Raises:
        InputError: it is missing or incomplete, needs a package, or there is no template.
    """
    try:
        processor: ProcessorMixin = _auto_processor.from_pretrained(source)
    except ImportError as error:
        raise InputError(f"{source}: its processor needs {_package(error)}") from None
    except Exception as error:
        raise InputError(f"{source}: has no usable processor ({first_line(error)})") from None
    for part in ("tokenizer", "image_processor"):
        if getattr(processor, part, None) is None:
            raise InputError(
                f"{source}: processor without {part}, expected processor_config.json or "
                "preprocessor_config.json beside the tokenizer"
            )
    given: Any = processor
    if template is not None:
        given.chat_template = template
    elif not getattr(processor, "chat_template", None):
        if config.model_type not in families.CHAT_TEMPLATES:
            raise InputError(f"{source}: {NO_TEMPLATE}")
        given.chat_template = families.CHAT_TEMPLATES[config.model_type]
    return processor


def _package(error: ImportError) -> str:
    """The package that an import error asks for, in whichever way it does."""
    found = re.search(r"requires the (\S+) library|Package `(\S+?)`|named '(\S+?)'", str(error))
    if found is None:
        return f"a package ({first_line(error)})"
    name = next(word for word in found.groups() if word).lower()
    return f"the package {name}, which is not installed: pip install {name}"


def first_line(error: BaseException) -> str:
    """The first line of a foreign error, short enough for a message of one line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]
