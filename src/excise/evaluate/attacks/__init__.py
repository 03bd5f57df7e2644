"""Attacks: ways to get a memory back that a model is said to have lost.

Each is a small function under the `attack` decorator in a file of this folder, which is all that it
takes to be tried. `attack_model` tries those of a preset.
"""

from __future__ import annotations

from excise.evaluate.attacks.registry import ATTACKS, FAMILIES, PRESETS, Attack, Options, attack
from excise.evaluate.attacks.target import Outcome, Target

__all__ = [
    "ATTACKS",
    "FAMILIES",
    "PRESETS",
    "Attack",
    "Options",
    "Outcome",
    "Target",
    "attack",
    "attack_model",
]


def __getattr__(name: str) -> object:
    # Importing the attacks imports this package, so they are found when they are asked for.
    if name == "attack_model":
        from excise.evaluate.attacks.run import attack_model

        return attack_model
    raise AttributeError(name)
