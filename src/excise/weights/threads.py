"""Keeping torch's operations on the CPU in the thread that calls them.

For many small operations that is faster than waking other threads, which then wait for more with
all their might; and what one thread computes is the same on any number of cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread_each() -> Iterator[int]:
    """One thread for each operation inside, also in threads made inside; gives the number before.

    The number is torch's own setting, which threads that exist already do not look at again.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield before
    finally:
        torch.set_num_threads(before)
