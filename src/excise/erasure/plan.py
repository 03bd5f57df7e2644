"""Which records an audit asks, and how much of everything: the presets.

Secrets are the private questions of the forget set, controls those about people whom the model
never knew; everything else is collateral, of which a preset takes at most so many of each split and
kind, drawn by the seed. What was only for training (`use: fit`) is not scored.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from excise.evaluate.scoring import prepare
from excise.methods.material import PRIVATE
from excise.records.data import Data
from excise.records.errors import InputError, did_you_mean
from excise.records.record import Record, Split

Preset = Literal["quick", "standard", "thorough"]
PRESETS: tuple[Preset, ...] = get_args(Preset)

# Records of each split and kind: what is attacked, and what shows the cost. 0 is all.
_ATTACKED: dict[Preset, int] = {"quick": 60, "standard": 240, "thorough": 0}
_COLLATERAL: dict[Preset, int] = {"quick": 60, "standard": 240, "thorough": 0}
_STATISTICS: dict[Preset, int | None] = {"quick": 60, "standard": 150, "thorough": None}


@dataclass(frozen=True)
class Plan:
    """What is asked of every side."""

    data: Data
    preset: Preset
    seed: int
    secrets: tuple[Record, ...]
    controls: tuple[Record, ...]
    scored: tuple[Record, ...]
    """Everything that is answered plainly, secrets and controls among it."""
    limit: int | None
    """Records of each split and kind that the statistics look at; None for all."""

    @property
    def attacked(self) -> tuple[Record, ...]:
        return (*self.secrets, *self.controls)


def plan(data: Data, preset: str = "standard", seed: int = 0) -> Plan:
    """Choose the records.

    Raises:
        InputError: an unknown preset, nothing private to score in the forget set, or a reference
            answer that a metric cannot use.
    """
    chosen = next((name for name in PRESETS if name == preset), None)
    if chosen is None:
        raise InputError(
            f'unknown preset "{preset}", expected {", ".join(PRESETS)}'
            + did_you_mean(preset, PRESETS)
        )
    most = _ATTACKED[chosen]
    secrets = _drawn(_private(data, "forget"), most, seed)
    if not secrets:
        raise InputError(
            f"{data.folder}: split forget has no image_memory or text_memory records to score, "
            "expected at least one"
        )
    controls = _drawn(_private(data, "unseen"), most, seed)
    private = {record.id for record in (*secrets, *controls)}
    rest = [
        record
        for record in data.select(use="score")
        if not (record.split in ("forget", "unseen") and record.kind in PRIVATE)
        and record.split != "few"  # seen by the method: no measure of what others lose
    ]
    kept = private | {record.id for record in _drawn(rest, _COLLATERAL[chosen], seed)}
    scored = tuple(record for record in data.records if record.id in kept)
    prepare(scored)  # before the model works for minutes
    return Plan(data, chosen, seed, tuple(secrets), tuple(controls), scored, _STATISTICS[chosen])


def _private(data: Data, split: Split) -> list[Record]:
    records = data.select(splits=[split], kinds=PRIVATE, use="score")
    return [record for record in records if record.task != "choice"]  # a letter is no secret


def _drawn(records: Sequence[Record], most: int, seed: int) -> list[Record]:
    """At most `most` (0: all) of each split and kind, in the old order."""
    cells: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        cells.setdefault((record.split, record.kind), []).append(record)
    rng = random.Random(f"audit-{seed}")
    kept = {
        record.id
        for cell in cells.values()
        for record in (rng.sample(cell, most) if 0 < most < len(cell) else cell)
    }
    return [record for record in records if record.id in kept]
