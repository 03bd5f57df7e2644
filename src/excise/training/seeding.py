"""Randomness of a fit: seeded inside, and nothing of it left outside.

PEFT's initialisation, dropout and the Trainer draw from the global generators. They are set for
the time of a fit and put back, so that a fit neither depends on what ran before nor changes what
runs after. The order of rows comes from a generator of its own.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int, gpus: Sequence[int] = ()) -> Iterator[None]:
    """All global generators start from `seed` inside, and go on as before outside.

    `gpus` are those in use; to look at another one would take memory there.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=gpus):
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


def seed_step(seed: int, step: int, rank: int) -> None:
    """Set torch's generator for one step of one of several processes.

    Dropout then differs between processes and steps, and does not hang on what ran before, so that
    a fit may go on with another number of processes.
    """
    torch.manual_seed(random.Random(f"{seed}-{step}-{rank}").getrandbits(63))


def shuffled_order(rows: int, length: int, seed: int) -> list[int]:
    """Row numbers for a whole fit: every row once in random order, then again, up to `length`.

    Laid out in advance, so that a resumed fit goes on with the rows it would have had.
    """
    generator = random.Random(seed)
    order: list[int] = []
    while len(order) < length:
        order += generator.sample(range(rows), rows)
    return order[:length]
