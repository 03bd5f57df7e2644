"""What long work shows: a bar on a terminal, a plain line now and then in a log.

The rooms below report `(stage, done, total)` and know nothing of terminals. In a log a stage prints
when it begins, each time another tenth is done, and at its end; it never redraws.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str, int, int], None]


@contextmanager
def progress() -> Iterator[Progress]:
    """Yield the function to report to. Everything goes to stderr; stdout is for results."""
    if sys.stderr.isatty():
        with _bars() as report:
            yield report
    else:
        yield PlainLines().report


@contextmanager
def _bars() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    tasks: dict[str, TaskID] = {}
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage)
            bars.update(tasks[stage], completed=done, total=total)

        yield report


class PlainLines:
    """One line per stage and per tenth of it."""

    def __init__(self, write: Callable[[str], object] | None = None) -> None:
        self._write = write or (lambda line: print(line, file=sys.stderr, flush=True))
        self._tenths: dict[str, int] = {}
        self._started: dict[str, float] = {}

    def report(self, stage: str, done: int, total: int) -> None:
        tenth = 10 if done >= total else 10 * done // total
        if tenth <= self._tenths.get(stage, -1):
            return
        self._tenths[stage] = tenth
        now = time.monotonic()
        seconds = now - self._started.setdefault(stage, now)
        self._write(f"{stage}: {done}/{total}, {seconds:.0f} s")
