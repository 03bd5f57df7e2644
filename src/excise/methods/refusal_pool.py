"""The pool of refusals that forgotten questions are answered with.

Many different ones, so that no single sentence is learnt. Which refusal a record gets follows from
the seed and the record's id alone, so it does not depend on what else is in the data.
"""

from __future__ import annotations

import random
from functools import cache
from importlib.resources import files

from excise.records.record import Record


@cache
def refusals() -> tuple[str, ...]:
    """All refusals of the pool, in the file's order."""
    text = files("excise.methods").joinpath("refusals.txt").read_text("utf-8")
    return tuple(line for line in text.splitlines() if line)


class Refuser:
    """Gives each record a refusal: `Refuser(seed)(record)`.

    `most` keeps to so many refusals of the pool, drawn by the seed. A small model does not learn to
    say hundreds of different sentences in a hundred steps, and mixes them up.
    """

    def __init__(self, seed: int, most: int | None = None) -> None:
        self.seed = seed
        pool = refusals()
        few = most is not None and most < len(pool)
        self.pool = random.Random(f"pool-{seed}").sample(pool, most) if few and most else pool

    def __call__(self, record: Record) -> str:
        return random.Random(f"refusal-{self.seed}-{record.id}").choice(self.pool)
