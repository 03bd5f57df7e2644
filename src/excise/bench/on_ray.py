"""Cells on a Ray cluster, or on this machine through Ray.

Each cell is a task with a process of its own. The bench folder, the data and the model have to be
on a disk that every node sees, under the same paths; a task takes a GPU where the cluster has some.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from excise.bench.job import Job
from excise.bench.workers import Outcome, outcome
from excise.records.errors import InputError


class OnRay:
    """Tasks on a cluster: `local` starts one here, anything else is the address of one.

    Args:
        jobs: tasks at a time on `local`; a cluster takes as many as it has room for.

    Raises:
        InputError: ray is not installed, or no cluster answers at the address.
    """

    def __init__(self, address: str, jobs: int) -> None:
        try:
            import ray
        except ImportError:
            raise InputError(
                "--ray: the package ray is not installed, expected pip install 'excise[bench]'"
            ) from None
        self._ray: Any = ray
        local = address == "local"
        try:
            ray.init(
                address="local" if local else address,
                num_cpus=max(1, jobs) if local else None,
                include_dashboard=False if local else None,
                log_to_driver=False,
                logging_level="ERROR",
                ignore_reinit_error=True,
            )
        except Exception as error:
            reason = str(error).splitlines()[0][:120]
            raise InputError(f"--ray {address}: no cluster answers ({reason})") from None
        resources = ray.cluster_resources()
        self._gpu = 1 if resources.get("GPU", 0) >= 1 else 0
        room = resources["GPU"] if self._gpu else resources.get("CPU", 1)
        self.count = max(1, int(room))

    def __call__(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        ray = self._ray
        # A process for each task, for its peak memory.
        task = ray.remote(num_cpus=1, num_gpus=self._gpu, max_calls=1, max_retries=0)(outcome)
        jobs = [_everywhere(job) for job in jobs]
        waiting = {task.remote(job): job for job in jobs}
        try:
            while waiting:
                (done, *_), _ = ray.wait([*waiting], num_returns=1)
                job = waiting.pop(done)
                try:
                    yield job, ray.get(done)
                except ray.exceptions.RayError as error:
                    yield job, f"its task was lost ({type(error).__name__}); memory may be short"
        finally:
            for task_left in waiting:
                ray.cancel(task_left, force=True)


def _everywhere(job: Job) -> Job:
    """The job with paths that do not depend on where a process was started."""
    from dataclasses import replace

    source = replace(
        job.source,
        bench=job.source.bench.absolute(),
        data=None if job.source.data is None else job.source.data.absolute(),
    )
    model = os.path.abspath(job.model) if os.path.isdir(job.model) else job.model
    return replace(job, source=source, model=model)
