"""What came of a probe: a line a question and door, and the JSON of it without names or answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from excise.erasure.asking_people import Door
from excise.erasure.guesses import Mark
from excise.evaluate.intervals import Figure

SCHEMA = "excise.probe/1"


@dataclass(frozen=True)
class Line:
    """One question through one door: what came of it."""

    key: str
    door: Door
    mark: Mark
    confidence: float
    agreement: float
    recognition: float
    """Mean confidence of all questions through this door."""
    control: Figure
    asks: int
    wordings: tuple[str, ...] = field(repr=False)
    answer: str = field(repr=False)
    content: frozenset[str] = field(repr=False)
    """What the answer says beyond its question."""


@dataclass(frozen=True)
class Probe:
    """What came of probing one person."""

    lines: tuple[Line, ...]
    pictures: tuple[Image.Image, ...] = field(repr=False)
    name: str | None = field(repr=False)
    """As given, or else as the model told it."""
    seen: tuple[tuple[int, str, str], ...] = field(repr=False)
    """(number of the picture, question for looking, the model's own answer)."""
    control_pictures: tuple[Image.Image, ...] = field(repr=False)
    """Those that were given; none that were drawn."""
    model: str
    seed: int
    warnings: tuple[str, ...]

    @property
    def known(self) -> list[Line]:
        """What the model knows, through either door."""
        return [line for line in self.lines if line.mark == "known"]

    def figures(self) -> dict[str, Any]:
        """The JSON of it (schema `excise.probe/1`): marks and figures, no name and no answer."""
        return {
            "schema": SCHEMA,
            "model": Path(self.model).name,
            "seed": self.seed,
            "pictures": len(self.pictures),
            "lines": [
                {
                    "question": line.key, "door": line.door, "mark": line.mark,
                    "confidence": round(line.confidence, 4), "agreement": round(line.agreement, 4),
                    "recognition": round(line.recognition, 4), "control_rate": line.control,
                    "asks": line.asks,
                }
                for line in self.lines
            ],
            "warnings": [*self.warnings],
        }  # fmt: skip
