"""Running the jobs that are not finished, with a line for each and how long it will take yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from excise.bench.clock import Clock, line, seconds_of, spoken
from excise.bench.job import Job
from excise.bench.workers import Workers
from excise.records.errors import InputError

Say = Callable[[str], object]


class Progress:
    """Runs jobs, keeps their cells by what they are of, and says how long it will take."""

    def __init__(self, total: int, workers: Workers, tell: Say, *, run_nothing: bool) -> None:
        self.total, self.workers, self.tell, self.run_nothing = total, workers, tell, run_nothing
        self.cells: dict[Job, Any] = {}
        self.failed: dict[Job, str] = {}
        self.clock = Clock()

    def do(self, jobs: Sequence[Job], *, must: bool = False) -> None:
        """Take the finished cells, run the others.

        Raises:
            InputError: one failed that `must` not.
        """
        unique = list({job.key: job for job in jobs}.values())
        waiting = []
        for job in unique:
            cell = job.found()
            if cell is None:
                waiting.append(job)
            else:
                self._take(jobs, job, cell)
        there = len(unique) - len(waiting)
        if there:
            self.tell(f"{there} of {len(unique)} cells are finished already")
        if self.run_nothing:
            return
        left = {job.key: job for job in waiting}
        for job, failed in self.workers(waiting):
            job = left.pop(job.key)
            if failed is not None and must:
                raise InputError(failed)
            if failed is None:
                cell = job.found()
                assert cell is not None  # it was written just now
                self._take(jobs, job, cell)
                note = spoken(seconds_of(cell))
            else:
                self.failed[job] = failed
                note = f"not made: {failed}"
            rest = [job.method for job in left.values()]
            rest += [""] * (self.total - len(self.cells) - len(self.failed) - len(rest))
            done = len(self.cells) + len(self.failed)
            estimate = self.clock.left(rest, min(self.workers.count, max(1, len(rest))))
            self.tell(line(done, self.total, job.label, note, estimate))

    def _take(self, jobs: Sequence[Job], job: Job, cell: Any) -> None:
        for same in jobs:  # the original of a folder's own split is one for all seeds
            if same.key == job.key:
                self.cells[same] = cell
        if job.role == "method":
            self.clock.note(job.method, seconds_of(cell))
