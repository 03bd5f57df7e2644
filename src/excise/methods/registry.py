"""Methods by name, and making one from the plain words of a command line."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from excise.methods.method import METHODS, Method
from excise.records.errors import InputError, did_you_mean
from excise.training.settings import FitSettings

M = TypeVar("M", bound=BaseModel)

for _file in iter_modules([str(Path(__file__).parent)]):  # each method enters itself
    import_module(f"excise.methods.{_file.name}")


def option_names(method: type[Method]) -> list[str]:
    """What may be set: the method's own fields, those of its fit directly, and `anchor.<field>`."""
    own = [name for name in method.model_fields if name not in ("fit", "anchor")]
    names = [*own, *(FitSettings.model_fields if "fit" in method.model_fields else ())]
    if "anchor" in method.model_fields:
        names += [f"anchor.{name}" for name in FitSettings.model_fields]
    return names


def make(name: str, options: Mapping[str, Any]) -> Method:
    """A method with settings: `make("smfa", {"k": "2", "lr": "1e-3", "anchor.steps": "60"})`.

    Settings of the fit stand beside the method's own; `anchor.` before one sets it for the anchor
    only, which otherwise follows the fit.

    Raises:
        InputError: unknown method or option (with the nearest name), or a value of the wrong kind.
    """
    if name not in METHODS:
        raise InputError(f'unknown method "{name}"{_expected(name, list(METHODS))}')
    method = METHODS[name]
    known = option_names(method)
    values: dict[str, Any] = {}
    fit: dict[str, Any] = {}
    anchor: dict[str, Any] = {}
    for key, value in options.items():
        if key not in known:
            raise InputError(f'{name}: unknown option "{key}"{_expected(key, known)}')
        if key.startswith("anchor."):
            anchor[key.removeprefix("anchor.")] = value
        elif key in FitSettings.model_fields:
            fit[key] = value
        else:
            values[key] = value
    if fit:
        own = method.model_fields["fit"].default  # a method's defaults hold where nothing is said
        values["fit"] = _checked(name, FitSettings, {**own.model_dump(exclude_unset=True), **fit})
    if anchor:
        values["anchor"] = _checked(name, FitSettings, {**fit, **anchor}, "anchor.")
    return _checked(name, method, values)


def _checked(name: str, model: type[M], values: Mapping[str, Any], prefix: str = "") -> M:
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = str(first["loc"][0]) if first["loc"] else "options"
        reason = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{name}: option {prefix}{key}={first['input']}: {reason}") from None


def _expected(word: str, choices: list[str]) -> str:
    return did_you_mean(word, choices) or f", expected one of {', '.join(choices)}"
