"""Which settings are tried for each method: a small published grid, within an equal budget.

A grid is a YAML or JSON file. `common` is given to every method that has such an option; `default`
and `methods` list values by option, whose combinations are tried (a list of such mappings: one
after the other). Every method gets at most as many trials as the budget says: the first combination
always, since it is the published one, and a draw of the others that is the same everywhere.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from excise.bench.options import Budget, expected_one
from excise.methods.method import METHODS
from excise.methods.registry import make, option_names
from excise.records.errors import InputError, did_you_mean

SHIPPED = ("default", "specimen")
Axes = dict[str, list[Any]]


@dataclass(frozen=True)
class Trial:
    """One set of settings: as given to `make`, all of them as they are written, and what varies."""

    given: dict[str, Any]
    settings: dict[str, Any]
    varied: tuple[str, ...] = ()

    @property
    def options(self) -> dict[str, Any]:
        """What the grid varies, for the table."""
        return {name: self.given[name] for name in self.varied}


@dataclass(frozen=True)
class Grid:
    """The contents of a grid file."""

    where: str
    common: dict[str, Any]
    default: list[Axes]
    methods: dict[str, list[Axes]]

    @classmethod
    def read(cls, source: str | Path) -> Grid:
        """A shipped grid by its name, or a file.

        Raises:
            InputError: it cannot be read, or names a method or option that does not exist.
        """
        name = str(source)
        if name in SHIPPED:
            text = files("excise.bench").joinpath("grids", f"{name}.yaml").read_text("utf-8")
        else:
            try:
                text = Path(source).read_text("utf-8")
            except (OSError, UnicodeDecodeError):
                expected = f"a YAML or JSON file, or one of {', '.join(SHIPPED)}"
                raise InputError(
                    f"{source}: cannot be read as a grid, expected {expected}"
                ) from None
        try:
            content = yaml.safe_load(text) or {}
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f":{mark.line + 1}" if mark is not None else ""
            raise InputError(f"{name}{line}: not valid YAML") from None
        grid = cls._parse(name, content)
        for method in grid.methods:
            if method not in METHODS:
                raise InputError(
                    f'{name}: unknown method "{method}"{expected_one(method, METHODS)}'
                )
            for axes in grid.methods[method]:
                for options in _combinations(axes):
                    grid._settings(method, options)
        return grid

    @classmethod
    def _parse(cls, where: str, content: Any) -> Grid:
        parts = ("common", "default", "methods")
        for key in _mapping(where, "a grid", content):
            if key not in parts:
                raise InputError(f'{where}: unknown key "{key}"{expected_one(key, parts)}')
        methods = _mapping(where, "methods", content.get("methods") or {})
        common = _mapping(where, "common", content.get("common") or {})
        everywhere = {name for method in METHODS.values() for name in option_names(method)}
        default = _axes(where, "default", content.get("default") or {})
        for name in (*common, *(name for axes in default for name in axes)):
            if name not in everywhere:
                raise InputError(
                    f'{where}: no method has an option "{name}"{did_you_mean(name, everywhere)}'
                )
        return cls(
            where, common, default,
            {str(name): _axes(where, str(name), value or {}) for name, value in methods.items()},
        )  # fmt: skip

    def trials(self, method: str, given: Mapping[str, Any], budget: Budget) -> tuple[Trial, ...]:
        """What is tried for a method, the published settings first.

        Args:
            given: options that the user has set for it; they take the grid's place.

        Raises:
            InputError: a value that the method does not take.
        """
        known = option_names(METHODS[method])
        said = dict(given) if budget.steps is None else {"steps": budget.steps, **given}
        fixed = {name: value for name, value in (self.common | said).items() if name in known}
        listed = self.methods.get(method, self.default)
        tried: dict[str, Trial] = {}
        for axes in listed or [{}]:
            left = {n: v for n, v in axes.items() if n in known and n not in said}
            varied = tuple(name for name, values in left.items() if len(values) > 1)
            for options in _combinations(left):
                settings = self._settings(method, fixed | options)
                trial = Trial(fixed | options, settings, varied)
                tried.setdefault(json.dumps(settings, sort_keys=True), trial)
        first, *rest = tried.values()
        drawn = range(len(rest))
        if len(rest) >= budget.trials:
            rng = random.Random(f"grid-{method}")
            drawn = sorted(rng.sample(drawn, budget.trials - 1))  # type: ignore[assignment]
        return (first, *(rest[i] for i in drawn))

    def _settings(self, method: str, options: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return make(method, options).model_dump(mode="json")
        except InputError as error:
            where = "" if self.where in SHIPPED else f"{self.where}: "
            raise InputError(f"{where}{error}") from None


def lengths(trials: Mapping[str, Sequence[Trial]]) -> str:
    """How long each method's fits are, in a sentence: what most have, and whoever has others.

    A grid may give one method more steps or larger batches than the others, which a reader of the
    table has to know. Empty if nothing is fitted.
    """
    said: dict[str, str] = {}
    for method, tried in trials.items():
        fits = [trial.settings["fit"] for trial in tried if "fit" in trial.settings]
        found = dict.fromkeys(
            f"{f['steps']} steps of {f['batch']} rows"
            if f["steps"] is not None
            else f"{f['epochs']:g} epochs in batches of {f['batch']} rows"
            for f in fits
        )
        if found:
            said[method] = " or ".join(found)
    if not said:
        return ""
    usual = Counter(said.values()).most_common(1)[0][0]
    others = [f"{method} {length}" for method, length in said.items() if length != usual]
    if not others:
        return f"Every fit has {usual}."
    return f"Fits have {usual}, but for {', '.join(others)}."


def _combinations(axes: Axes) -> list[dict[str, Any]]:
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def _axes(where: str, name: str, value: Any) -> list[Axes]:
    """Values by option, each as a list; several such mappings one after the other."""
    found = []
    for part in value if isinstance(value, list) else [value]:
        axes = {}
        for option, values in _mapping(where, name, part).items():
            axes[str(option)] = values if isinstance(values, list) else [values]
            if not axes[str(option)]:
                raise InputError(f"{where}: {name}.{option}: no values, expected at least one")
        found.append(axes)
    return found


def _mapping(where: str, name: str, value: Any) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: {name}: expected names and values, such as `lr: [1e-4, 3e-4]`")
    return value
