"""The processes of one job as one of them sees it, and what they do for each other.

Every method works alone too, at no cost, so nobody has to ask whether there are others. All of
them must call the same methods in the same order: each call waits for everybody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch.distributed as dist
from torch import Tensor

from excise.records.errors import ExciseError

T = TypeVar("T")


class Elsewhere(ExciseError):
    """Another process failed; it has said why, so this one ends without a word."""


@dataclass(frozen=True)
class World:
    """The processes of one job as one of them sees it; alone by default."""

    rank: int = 0
    size: int = 1
    sharded: bool = False
    """Whether the frozen weights are spread over the processes while an adapter is trained."""

    @property
    def main(self) -> bool:
        """Whether this process is the one that writes and talks."""
        return self.rank == 0

    def from_main(self, work: Callable[[], T]) -> T:
        """What `work` gives on the main process, on every process; the others wait for it.

        Raises:
            Elsewhere: on the others, if it raised on the main process, where the error goes on.
        """
        if self.size == 1:
            return work()
        answer: list[Any] = [None, None]
        failure: BaseException | None = None
        if self.main:
            try:
                answer[0] = work()
            except BaseException as error:
                failure = error
                known = isinstance(error, ExciseError)  # any other text may hold private data
                answer[1] = str(error) if known else f"the main process: {type(error).__name__}"
        dist.broadcast_object_list(answer, src=0)
        if failure is not None:
            raise failure
        if answer[1] is not None:
            raise Elsewhere(answer[1])
        return cast(T, answer[0])

    def share(self, things: Sequence[T]) -> Sequence[T]:
        """This process's part of `things`: in order, of a like size, empty if there are too few."""
        each, over = divmod(len(things), self.size)
        start = self.rank * each + min(self.rank, over)
        return things[start : start + each + (self.rank < over)]

    def gather(self, value: T) -> list[T]:
        """Everybody's value, by rank, on every process."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def run_model(self, wanted: bool) -> bool:
        """Whether to run the model here, if each process wants it or not for reasons of its own.

        Sharded processes run it all or none: each holds a part of every layer.
        """
        return any(self.gather(wanted)) if self.sharded else wanted

    def add_up(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over all processes, the same bits on each of them."""
        if self.size > 1:
            dist.all_reduce(tensor)

    def follow_main(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by those of the main process."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor.detach(), src=0)


ALONE = World()
