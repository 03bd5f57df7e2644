"""Attacks by name: a function of a target and its typed options, and what it is for.

The options' own defaults are those of `standard`; a preset that is None leaves the attack out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError

from excise.evaluate.attacks.target import Outcome, Target
from excise.records.errors import InputError, did_you_mean

Family = Literal[
    "plain",
    "other_door",
    "prompt",
    "picture",
    "sampling",
    "prefill",
    "quantisation",
    "relearning",
]
Preset = Literal["quick", "standard", "thorough"]
Presets = Mapping[str, Mapping[str, Any] | None]

FAMILIES: tuple[Family, ...] = get_args(Family)
PRESETS: tuple[Preset, ...] = get_args(Preset)


class Options(BaseModel):
    """Base of an attack's options: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Chosen = TypeVar("Chosen", bound=Options)


@dataclass(frozen=True)
class Attack:
    """A named attack. Call it with a target and options."""

    name: str
    family: Family
    reference: str
    options: type[Options]
    presets: Presets
    run: Callable[[Target, Any], Outcome]

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (self.run.__doc__ or "").strip().partition("\n")[0]

    def __call__(self, target: Target, options: Options | None = None) -> Outcome:
        chosen = self.options() if options is None else options
        outcome = self.run(target, chosen)
        return replace(
            outcome,
            attack=self.name,
            family=self.family,
            options=chosen.model_dump(mode="json") | dict(outcome.options),
        )

    def settings(self, preset: str, changed: Mapping[str, Any] | None = None) -> Options | None:
        """The options of a preset with some of them changed; None if the preset leaves it out.

        What is changed puts the attack in, whatever the preset says.

        Raises:
            InputError: an unknown option (with the nearest name), or a value of the wrong kind.
        """
        values = self.presets.get(preset, {})
        if values is None and changed is None:
            return None
        for key in changed or {}:
            if key not in self.options.model_fields:
                known = list(self.options.model_fields)
                raise InputError(f'{self.name}: unknown option "{key}"{_expected(key, known)}')
        try:
            return self.options(**{**(values or {}), **(changed or {})})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = str(first["loc"][0]) if first["loc"] else "options"
            reason = first["msg"].removeprefix("Value error, ")
            raise InputError(f"{self.name}: option {key}={first['input']}: {reason}") from None


ATTACKS: dict[str, Attack] = {}


def attack(
    family: Family, *, reference: str, presets: Presets | None = None
) -> Callable[[Callable[[Target, Chosen], Outcome]], Attack]:
    """Register a function `(target, options) -> Outcome` under its own name.

    Args:
        reference: where the attack comes from.
        presets: options by preset, each a mapping of what differs from the defaults, or None to
            leave the attack out of it; a preset that is not named has the defaults.

    Raises:
        ValueError: the name is taken, a preset is unknown, or the options have no type.
    """

    def register(run: Callable[[Target, Chosen], Outcome]) -> Attack:
        name = run.__name__
        if name in ATTACKS:
            raise ValueError(f'an attack named "{name}" is registered already')
        unknown = {*(presets or {})} - {*PRESETS}
        if unknown:
            raise ValueError(f"{name}: unknown presets {sorted(unknown)}")
        options = get_type_hints(run).get("options")
        if not (isinstance(options, type) and issubclass(options, Options)):
            raise ValueError(f"{name}: expected an argument `options` with a type of `Options`")
        ATTACKS[name] = Attack(name, family, reference, options, presets or {}, run)
        return ATTACKS[name]

    return register


def _expected(word: str, choices: list[str]) -> str:
    known = ", ".join(choices) or "none, it has no options"
    return did_you_mean(word, choices) or f", expected one of {known}"
