"""A LoRA put on exactly named modules for the time of a fit, saved in PEFT's format, taken off.

PEFT shortens long target lists to suffixes, which would match other modules of another model, and
writes the local path of the base model; both are set right in the saved configuration.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import PreTrainedModel

from excise.records.errors import ExciseError
from excise.records.writing import write_json
from excise.training.settings import FitSettings

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"


@contextmanager
def attached(
    model: PreTrainedModel, targets: Sequence[str], settings: FitSettings
) -> Iterator[PeftModel]:
    """The model with a fresh adapter; afterwards the model as it was, whatever happened.

    "As it was": the same module objects under the same names, the same `requires_grad` of every
    parameter, the same training mode of every module. LoRA starts from torch's global generator,
    so seed it first.

    Raises:
        ExciseError: PEFT adapted other modules than `targets`.
    """
    modes = [(module, module.training) for module in model.modules()]
    gradients = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    use_cache = getattr(model.config, "use_cache", None)
    had_path = "name_or_path" in model.__dict__
    path = model.__dict__.get("name_or_path")
    model.__dict__["name_or_path"] = ""  # else PEFT asks the hub about the base, or keeps its path
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type,unused-ignore]
        lora_dropout=settings.dropout,
        target_modules=list(targets),
        bias="none",
    )
    wrapped: Any = None
    try:
        wrapped = get_peft_model(model, config)
        wrapped.create_or_update_model_card = _no_card
        hit = set(wrapped.base_model.targeted_module_names)
        if hit != set(targets):
            raise ExciseError(f"the adapter sits on {len(hit)} modules, expected {len(targets)}")
        yield wrapped
    finally:
        if wrapped is not None:
            wrapped.base_model.unload()
        for parameter, flag in gradients:
            parameter.requires_grad_(flag)
            parameter.grad = None
        for module, mode in modes:
            module.training = mode
        if use_cache is not None:
            model.config.use_cache = use_cache
        elif "use_cache" in model.config.__dict__:
            del model.config.use_cache
        if had_path:
            model.__dict__["name_or_path"] = path
        else:
            del model.__dict__["name_or_path"]


def _no_card(folder: str) -> None:
    """In place of the model card that PEFT would write into every checkpoint, for nobody."""


def save_adapter(adapter: PeftModel, targets: Sequence[str], base: str, out: Path) -> None:
    """Write weights, then configuration, each whole or not at all.

    The configuration comes last: a folder that has it has a complete adapter.

    Raises:
        OSError, safetensors.SafetensorError: the folder cannot be written to.
    """
    weights = get_peft_model_state_dict(adapter, save_embedding_layers=False)
    config = dict(adapter.peft_config["default"].to_dict())
    config.update(base_model_name_or_path=base, target_modules=sorted(targets), inference_mode=True)
    part = out / f".{WEIGHTS}.part"
    try:
        save_file(
            {name: tensor.detach().float().cpu().contiguous() for name, tensor in weights.items()},
            part,
            metadata={"format": "pt"},
        )
        os.replace(part, out / WEIGHTS)
    finally:
        part.unlink(missing_ok=True)
    write_json(out / CONFIG, {k: sorted(v) if isinstance(v, set) else v for k, v in config.items()})
