"""What is asked of a bench in words: its methods, options for all or for one, and the budget."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from excise.methods.method import METHODS
from excise.methods.registry import option_names
from excise.records.errors import InputError, did_you_mean


@dataclass(frozen=True)
class Budget:
    """What every method may spend on its search: trial fits, and steps each."""

    trials: int
    steps: int | None = None

    @classmethod
    def parse(cls, text: str | int) -> Budget:
        """`4`, or `4x150`: four trials of 150 steps."""
        found = re.fullmatch(r"(\d+)(?:x(\d+))?", str(text).strip())
        if not found or not int(found[1]) or (found[2] is not None and not int(found[2])):
            raise InputError(f"budget {text}: expected trials, or TRIALSxSTEPS such as 4x150")
        return cls(int(found[1]), None if found[2] is None else int(found[2]))


def options_of(methods: Sequence[str], options: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The user's options by method: `lr` is for all that have it, `smfa.k` for one.

    Raises:
        InputError: no method of the bench has an option of that name.
    """
    found: dict[str, dict[str, str]] = {method: {} for method in methods}
    names = {method: option_names(METHODS[method]) for method in methods}
    for key, value in options.items():
        owner, _, rest = key.partition(".")
        if rest and owner in found:
            found[owner][rest] = value  # a wrong name is found by `make`, which knows the method
            if rest not in names[owner]:
                hint = expected_one(rest, names[owner])
                raise InputError(f'{owner}: unknown option "{rest}"{hint}')
            continue
        takers = [method for method in methods if key in names[method]]
        if not takers:
            everywhere = sorted({name for listed in names.values() for name in listed})
            raise InputError(f'unknown option "{key}"{expected_one(key, everywhere)}')
        for method in takers:
            found[method].setdefault(key, value)
    return found


def known_methods(listed: Sequence[str]) -> list[str]:
    """The methods asked for, `all` for every one that there is, each once.

    Raises:
        InputError: none, or an unknown one.
    """
    names = [name.strip() for name in listed if name.strip()]
    if names == ["all"]:
        return sorted(METHODS)
    if not names:
        raise InputError(f"no methods, expected all or some of {', '.join(sorted(METHODS))}")
    for name in names:
        if name not in METHODS:
            raise InputError(f'unknown method "{name}"{expected_one(name, sorted(METHODS))}')
    return list(dict.fromkeys(names))


def expected_one(word: object, choices: Iterable[object]) -> str:
    """The nearest of the choices, or all of them."""
    listed = [str(choice) for choice in choices]
    return did_you_mean(word, listed) or f", expected one of {', '.join(listed)}"
