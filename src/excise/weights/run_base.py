"""Which base a run does not go onto: one whose weights are packed into fewer bits.

A run changes numbers in their last digits; in four or eight bits most of the change would be lost,
or the packed bytes would be taken for numbers. transformers marks such a model in its
configuration, both before and after loading.
"""

from __future__ import annotations

from typing import Any

from excise.records.errors import InputError


def refuse_quantised(where: str, config: Any) -> None:
    """Raise InputError if the configuration is that of a quantised model."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    settings = getattr(config, "quantization_config", None)
    settings = settings or getattr(text, "quantization_config", None)
    if settings is None:
        return
    value = settings if isinstance(settings, dict) else getattr(settings, "__dict__", {})
    kind = str(value.get("quant_method") or "unknown method").rpartition(".")[2].lower()
    raise InputError(f"{where}: is quantised ({kind}), to which no run can be applied")
