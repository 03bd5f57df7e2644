"""Which tiles a matrix has, and going through them with all threads.

A tile is a block of full rows, so that weights are read and written in one piece. The tiles depend
on the matrix alone; on a CPU each thread takes the next tile that is left and works on it alone,
its products included: what comes out cannot depend on how many threads there are.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from excise.weights.threads import one_thread_each

ENTRIES = 1 << 19  # of a tile: smaller ones are read again sooner, larger ones cost fewer calls
ROWS = 16  # at least, or the products would mostly wait for the factors
GPU_ENTRIES = 1 << 22
PIECE = 1 << 18  # entries that are looked through at a time


class Space:
    """Buffers for tiles of at most so many rows; one for each thread."""

    def __init__(self, rows: int, columns: int, parts: int, device: torch.device) -> None:
        more = parts if parts > 1 else 0
        self._floats = [torch.empty(rows, columns, device=device) for _ in range(3 + more)]
        on_cpu = device.type == "cpu"
        self._flags = np.empty(rows * columns if on_cpu else 0, np.bool_)
        self._sizes = np.empty(PIECE if on_cpu else 0, np.float32)

    def matrix(self, index: int, rows: int) -> Tensor:
        """Buffer 0, 1 or 2, so many rows of it; from 3 on there is one for each part of several."""
        whole = self._floats[index]
        return whole if rows == len(whole) else whole[:rows]

    def small(self, x: Tensor, limit: float) -> NDArray[np.intp]:
        """The flat indices of the entries of `x` whose size is at most `limit`."""
        flat = x.view(-1)
        if x.device.type != "cpu":
            found: NDArray[np.intp] = (flat.abs() <= limit).nonzero().view(-1).cpu().numpy()
            return found
        values, bound = flat.numpy(), np.float32(limit)  # numpy is the faster one here
        for start in range(0, values.size, PIECE):
            piece = values[start : start + PIECE]
            sizes = np.abs(piece, out=self._sizes[: piece.size])
            np.less_equal(sizes, bound, out=self._flags[start : start + piece.size])
        return np.flatnonzero(self._flags[: values.size])


def height(columns: int, device: torch.device) -> int:
    """Rows of a tile of a matrix with so many columns."""
    entries = ENTRIES if device.type == "cpu" else GPU_ENTRIES
    return max(ROWS, entries // columns // ROWS * ROWS)


def each_tile(
    rows: range,
    columns: int,
    device: torch.device,
    parts: int,
    work: Callable[[slice, Space], None],
) -> None:
    """Call `work(rows, space)` for every tile of these rows.

    On a CPU it is called by several threads at once, each with a space of its own. An exception in
    one of them ends them all and is raised here.
    """
    step = height(columns, device)
    tiles = [slice(first, min(first + step, rows.stop)) for first in rows[::step]]
    remaining, lock, stopped = iter(tiles), Lock(), False

    def take(space: Space) -> None:
        nonlocal stopped
        with torch.inference_mode():
            while not stopped:
                with lock:
                    tile = next(remaining, None)
                if tile is None:
                    return
                try:
                    work(tile, space)
                except BaseException:
                    stopped = True
                    raise

    with one_thread_each() as threads:
        threads = max(1, min(threads, len(tiles))) if device.type == "cpu" else 1
        spaces = [Space(min(step, len(rows)), columns, parts, device) for _ in range(threads)]
        if threads == 1:
            take(spaces[0])
            return
        with ThreadPoolExecutor(threads) as pool:
            futures = [pool.submit(take, space) for space in spaces]
            try:
                for future in futures:
                    future.result()
            finally:
                stopped = True
