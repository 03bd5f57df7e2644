"""Metrics by name: a function of one record and one answer, and what it is for.

A metric that needs nothing but the record is decorated with `metric`. One that needs to see all
scored records first (CIDEr's document frequencies, the reference boxes) is decorated with
`corpus_metric` and returns the function that scores.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from excise.records.record import Record, Task

Scorer = Callable[[Record, str], float]
Prepare = Callable[[Sequence[Record]], Scorer]
Where = Callable[[Record], bool]


@dataclass(frozen=True)
class Metric:
    """A named metric.

    `prepare` takes all records that it applies to and returns the scorer; `tasks` are those that it
    applies to (None: all), of those only the records that `where` holds for; `best` is the highest
    value; `reference` says where it comes from.
    """

    name: str
    prepare: Prepare
    best: float
    tasks: frozenset[Task] | None
    reference: str
    where: Where | None = None

    def applies(self, record: Record) -> bool:
        asked = self.tasks is None or record.task in self.tasks
        return asked and (self.where is None or self.where(record))


METRICS: dict[str, Metric] = {}


def metric(
    name: str,
    *,
    best: float = 1.0,
    tasks: Collection[Task] | None = None,
    reference: str = "",
    where: Where | None = None,
) -> Callable[[Scorer], Scorer]:
    """Register a function `(record, answer) -> float`.

    Raises:
        ValueError: the name is taken.
    """

    def register(scorer: Scorer) -> Scorer:
        add = corpus_metric(name, best=best, tasks=tasks, reference=reference, where=where)
        add(lambda records: scorer)
        return scorer

    return register


def corpus_metric(
    name: str,
    *,
    best: float = 1.0,
    tasks: Collection[Task] | None = None,
    reference: str = "",
    where: Where | None = None,
) -> Callable[[Prepare], Prepare]:
    """Register a function `records -> ((record, answer) -> float)`.

    Raises:
        ValueError: the name is taken.
    """

    def register(prepare: Prepare) -> Prepare:
        if name in METRICS:
            raise ValueError(f'a metric named "{name}" is registered already')
        chosen = None if tasks is None else frozenset(tasks)
        METRICS[name] = Metric(name, prepare, best, chosen, reference, where)
        return prepare

    return register
