"""Cells in processes of their own, several at a time on one machine.

A process for each cell, so that its peak memory is the method's and nobody else's, and so that a
crash costs one cell. It gets its job by its standard input, its share of the threads, and a GPU if
there are some. Interrupting ends all of them; what they had begun goes on next time.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Protocol

from excise.bench.failure import why
from excise.bench.job import Job
from excise.bench.work import work

Outcome = tuple[Job, str | None]
"""A job, and why it failed or None."""


class Workers(Protocol):
    """Whatever can do jobs: each is yielded when it is over."""

    count: int
    """How many at a time."""

    def __call__(self, jobs: Sequence[Job]) -> Iterator[Outcome]: ...


class Here:
    """In this very process, one after the other; peak memory is then that of the process so far."""

    count = 1

    def __call__(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        for job in jobs:
            yield job, outcome(job)


class Processes:
    """`count` processes at a time."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._running: set[subprocess.Popen[bytes]] = set()
        self._over = False
        self._places: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
        gpus = _gpus()
        for place in range(count):
            gpu = {"CUDA_VISIBLE_DEVICES": gpus[place % len(gpus)]} if gpus else {}
            self._places.put(gpu)

    def __call__(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        self._over = False
        with ThreadPoolExecutor(self.count) as pool:
            waiting = {pool.submit(self._do, job): job for job in jobs}
            try:
                for done in as_completed(waiting):
                    yield waiting[done], done.result()
            finally:  # the caller stopped, or Ctrl-C
                self._over = True
                pool.shutdown(wait=False, cancel_futures=True)
                for process in list(self._running):
                    process.terminate()

    def _do(self, job: Job) -> str | None:
        if self._over:
            return "interrupted"
        place = self._places.get()
        threads = str(max(1, (os.cpu_count() or 1) // self.count))
        process = subprocess.Popen(
            [sys.executable, "-m", "excise.bench"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"OMP_NUM_THREADS": threads, **os.environ, **place},
            start_new_session=True,  # a terminal's Ctrl-C is for the parent, which passes it on
        )
        self._running.add(process)
        try:
            said, _ = process.communicate(pickle.dumps(job))
        finally:
            self._running.discard(process)
            self._places.put(place)
        if process.returncode < 0:
            sort = signal.Signals(-process.returncode).name
            return f"its process was ended by {sort}; memory may be short"
        line = said.decode(errors="replace").strip().rpartition("\n")[2]
        return line if process.returncode else None


def outcome(job: Job) -> str | None:
    """Do a job; why it failed, or None."""
    try:
        work(job)
    except Exception as error:
        return why(error)
    return None


def _gpus() -> list[str]:
    """The names of the GPUs that may be used, for CUDA_VISIBLE_DEVICES."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name.strip()]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]
