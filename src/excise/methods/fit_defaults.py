"""A method's own defaults for its fits, under what the user sets of them."""

from __future__ import annotations

from typing import Any

from excise.records.errors import InputError
from excise.training.settings import FitSettings


def filled(fit: FitSettings, **own: Any) -> FitSettings:
    """The fit's settings; those that were not given are `own`, where named, and not any fit's."""
    return FitSettings(**{**own, **fit.model_dump(include=fit.model_fields_set)})


def without_adapter(fit: FitSettings) -> FitSettings:
    """The fit as it is; ValueError if it sets what only an adapter has."""
    for field in ("rank", "alpha", "dropout"):
        if getattr(fit, field) != FitSettings.model_fields[field].default:
            raise ValueError(f"{field} is of an adapter; this method trains the weights' entries")
    return fit


def require_floats(name: str, quantised: bool) -> None:
    """InputError if the model's weights are quantised, for a method that has to look at them."""
    if quantised:
        raise InputError(f"{name}: edits the weights, which are in 4 bits: load without --quantize")
