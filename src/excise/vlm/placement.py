"""Where a model goes and at what precision: what `--dtype`, `--device-map` and `--quantize` mean.

In 4 bits go the linear layers of the language model only: the vision tower and the projector stay
as they are, so that pictures look the same, and so does the head, whose rounding would show in
every answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal, get_args

import torch
from torch import nn
from transformers import AutoModelForImageTextToText, BitsAndBytesConfig, PreTrainedConfig

from excise.records.errors import InputError
from excise.vlm.parts import find_parts

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
Quantize = Literal["4bit"]
DeviceMap = str | Mapping[str, int | str]
MAPS = ("auto", "balanced", "balanced_low_0", "sequential")

_auto_model: Any = AutoModelForImageTextToText
_config: Any = BitsAndBytesConfig


@dataclass(frozen=True)
class Placement:
    """What the user asked for, checked."""

    dtype: str
    device: torch.device
    device_map: str | dict[str, int | str] | None
    quantize: Quantize | None

    @property
    def wanted(self) -> Any:
        """The dtype for `from_pretrained`: float32 on a CPU, as stored on a GPU, if not given."""
        return DTYPES.get(self.dtype, torch.float32 if self.device.type == "cpu" else "auto")

    def arguments(self, config: PreTrainedConfig, parts: Mapping[str, str]) -> dict[str, Any]:
        """What `from_pretrained` gets; the caller puts the model on `device` if no map did."""
        given: dict[str, Any] = {"dtype": self.wanted}
        if self.device_map is not None:
            given["device_map"] = self.device_map
        elif self.quantize is not None:  # weights are quantised on the way to their device
            given["device_map"] = {"": str(self.device)}
        if self.quantize is not None:
            given["quantization_config"] = _four_bits(config, parts, self)
        return given


def placement(
    dtype: str, device: str | None, device_map: DeviceMap | None, quantize: str | None
) -> Placement:
    """Check what was asked for.

    Raises:
        InputError: an unknown dtype, device, map or quantisation, a GPU that is not there, device
            and map at once, or a package that quantisation needs is not installed.
    """
    if dtype != "auto" and dtype not in DTYPES:
        raise InputError(f'unknown dtype "{dtype}", expected auto, {", ".join(DTYPES)}')
    if device is not None and device_map is not None:
        raise InputError("device and device map exclude each other, expected one of them")
    if quantize is not None:
        if quantize not in get_args(Quantize):
            raise InputError(f'unknown quantisation "{quantize}", expected 4bit')
        if find_spec("bitsandbytes") is None:
            raise InputError(
                "4-bit weights need the package bitsandbytes, expected it to be installed "
                "(pip install bitsandbytes)"
            )
    place = _device(device)
    return Placement(dtype, place, None if device_map is None else _map(device_map), quantize)  # type: ignore[arg-type]


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


def _map(given: DeviceMap) -> str | dict[str, int | str]:
    if isinstance(given, str):
        if given in MAPS:
            return given
        with suppress(ValueError):
            given = json.loads(given)
        if not isinstance(given, dict):
            raise InputError(
                f'unknown device map "{given}", expected {", ".join(MAPS)}, or JSON such as '
                '{"model.language_model": 0, "": "cpu"}'
            )
    checked: dict[str, int | str] = {}
    for name, value in given.items():
        checked[str(name)] = value
        if isinstance(value, int) and not isinstance(value, bool):
            _device(f"cuda:{value}")
        elif isinstance(value, str) and value != "disk":
            _device(value)
        else:
            raise InputError(f"device map: {name}: {value}: expected a GPU's number, cuda:N or cpu")
    return checked


def outline(config: PreTrainedConfig) -> Any:
    """The model of a configuration without weights, to ask for names and shapes."""
    with torch.device("meta"):
        return _auto_model.from_config(config)


def _four_bits(
    config: PreTrainedConfig, parts: Mapping[str, str], place: Placement
) -> BitsAndBytesConfig:
    model = outline(config)
    inside = find_parts(model, parts).language_model + "."
    left = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not name.startswith(inside)
    ]
    whole = torch.float32 if place.device.type == "cpu" else torch.bfloat16
    made: BitsAndBytesConfig = _config(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=DTYPES.get(place.dtype, whole),
        llm_int8_skip_modules=left,
    )
    return made


def keep_trainable(model: nn.Module) -> None:
    """Leave 4-bit weights in the form that can be trained through.

    On some CPUs bitsandbytes lays them out anew when they are first used in evaluation mode, and an
    adapter on top of such weights has no gradient.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]


def quantised(model: nn.Module) -> bool:
    """Whether weights of the model are kept in other than floating point."""
    return getattr(model, "is_quantized", False) is True
