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


def shared_out(batch: int, parts: Sequence[int]) -> list[int]:
    """Rows of a batch for each part, in proportion and at least one; what is over goes to the last.

    Parts that are alike share evenly, the first ones getting what is left over.
    """
    if len(set(parts)) == 1:
        each, over = divmod(batch, len(parts))
        return [each + (number < over) for number in range(len(parts))]
    sizes = [max(1, batch * part // sum(parts)) for part in parts[:-1]]
    return [*sizes, batch - sum(sizes)]


def mixed_order(
    groups: Sequence[Sequence[int]],
    sizes: Sequence[int],
    length: int,
    seed: int,
) -> list[int]:
    """Row numbers for a whole fit in which every batch has its share of each group.

    Within a group every row comes once in random order, then again. So `L_f + λ L_r` has both of
    its terms in every step.

    Args:
        groups: row numbers, for example of the rows to forget and of those to keep.
        sizes: rows a step of each group (`shared_out`).
        length: a multiple of their sum.
    """
    batch = sum(sizes)
    steps = length // batch
    drawn = [
        [group[i] for i in shuffled_order(len(group), steps * size, seed + number)]
        for number, (group, size) in enumerate(zip(groups, sizes, strict=True))
    ]
    return [
        row
        for step in range(steps)
        for rows, size in zip(drawn, sizes, strict=True)
        for row in rows[step * size : (step + 1) * size]
    ]
