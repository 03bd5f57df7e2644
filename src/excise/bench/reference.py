"""Reference checkpoints: a model that never saw the forgotten people, to be measured against.

It belongs to one choice of forgotten people, so to a folder's own split, or to one ratio and seed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from excise.records.errors import InputError
from excise.vlm.sources import read_config

SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
Place = tuple[int | None, int | None]
"""Ratio and seed; None for the folder's own split, and for every seed."""


def parse(given: Sequence[str]) -> dict[Place, str]:
    """`R` for the folder's own split, `5/0=R` for a ratio and a seed.

    Raises:
        InputError: the same place twice.
    """
    found: dict[Place, str] = {}
    for text in given:
        drawn = re.fullmatch(r"(\d+)/(\d+)=(.+)", text)
        place: Place = (int(drawn[1]), int(drawn[2])) if drawn else (None, None)
        if place in found:
            raise InputError(f"--reference {text}: given twice for the same people")
        found[place] = drawn[3] if drawn else text
    return found


def require_same_architecture(reference: str, model: str) -> None:
    """See that two checkpoints are of one architecture, by their configurations.

    Raises:
        InputError: they differ; the first difference is named.
    """
    ours, theirs = read_config(model), read_config(reference)
    pairs: list[tuple[str, Any, Any]] = [("model_type", ours.model_type, theirs.model_type)]
    parts: list[tuple[str, Any, Any]] = [("text", ours.get_text_config(), theirs.get_text_config())]
    vision = (getattr(ours, "vision_config", None), getattr(theirs, "vision_config", None))
    parts.append(("vision", *vision))
    for part, one, other in parts:
        names = (*SIZES, "vocab_size") if part == "text" else SIZES
        pairs += [(f"{part} {n}", getattr(one, n, None), getattr(other, n, None)) for n in names]
    for name, here, there in pairs:
        if here != there:
            raise InputError(
                f"{reference}: a reference of another architecture ({name} {there}, the model has "
                f"{here})"
            )
