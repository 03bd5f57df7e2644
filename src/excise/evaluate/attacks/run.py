"""Run the attacks of a preset on one model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from excise.evaluate.attacks.registry import ATTACKS, FAMILIES, PRESETS, Attack, Options
from excise.evaluate.attacks.target import Outcome, Target
from excise.records.errors import InputError, did_you_mean

for _file in iter_modules([str(Path(__file__).parent)]):  # each attack enters itself
    if not _file.name.startswith("_") and _file.name != "run":
        import_module(f"excise.evaluate.attacks.{_file.name}")

Progress = Callable[[str, int, int], None]


def attack_model(
    target: Target,
    preset: str = "standard",
    *,
    only: Collection[str] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Try every attack of a preset on the model; it is the same afterwards.

    Args:
        only: names of attacks or families; an attack that is named is tried even where the preset
            leaves it out, with its own defaults.
        options: changed options by attack.
        progress: is told an attack's name, how many are done and how many there are.

    Returns:
        One outcome an attack, in the order of families.

    Raises:
        InputError: unknown preset, attack, family or option.
    """
    chosen = plan(preset, only=only, options=options)
    outcomes = []
    for done, (tried, settings) in enumerate(chosen):
        if progress is not None:
            progress(tried.name, done, len(chosen))
        outcomes.append(tried(target, settings))
    if progress is not None and chosen:
        progress(chosen[-1][0].name, len(chosen), len(chosen))
    return outcomes


def plan(
    preset: str = "standard",
    *,
    only: Collection[str] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[tuple[Attack, Options]]:
    """The attacks that `attack_model` would try, and their options; see there."""
    changed = options or {}
    _known(preset, PRESETS, "preset")
    for name in only or ():
        _known(name, [*FAMILIES, *ATTACKS], "attack")
    for name in changed:
        _known(name, [*ATTACKS], "attack")
    chosen = []
    for tried in sorted(ATTACKS.values(), key=lambda one: FAMILIES.index(one.family)):
        if only is not None and tried.name not in only and tried.family not in only:
            continue
        asked_for = only is not None and tried.name in only
        settings = tried.settings(preset, changed.get(tried.name, {} if asked_for else None))
        if settings is not None:
            chosen.append((tried, settings))
    return chosen


def _known(name: str, choices: Collection[str], what: str) -> None:
    if name not in choices:
        hint = did_you_mean(name, [*choices]) or f", expected one of {', '.join(choices)}"
        raise InputError(f'unknown {what} "{name}"{hint}')
