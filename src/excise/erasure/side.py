"""One state of the model under audit: what it answers, what attacks got out of it, its statistics.

Scores and counts are kept, answers are not: they may hold the very data that was to be erased.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from excise.erasure.plan import Plan
from excise.evaluate.attacks.run import attack_model
from excise.evaluate.attacks.target import Outcome, Target
from excise.evaluate.evaluate import ask
from excise.evaluate.scoring import score_each
from excise.evaluate.statistics import Statistics
from excise.records.data import Data

if TYPE_CHECKING:
    from excise.vlm.load import VLM

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Side:
    """A scored state: `each` holds one `{metric: value}` for every record of `plan.scored`."""

    name: str
    each: Sequence[Mapping[str, float]]
    outcomes: Sequence[Outcome]
    statistics: Statistics
    general: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """`{set: {metric: Figure}}` of further data folders."""


def look_at(
    name: str,
    vlm: VLM,
    plan: Plan,
    *,
    general: Mapping[str, Data],
    only: Sequence[str] | None,
    options: Mapping[str, Mapping[str, Any]],
    progress: Progress,
) -> Side:
    """Score the model as it is now; its weights come out as they went in.

    Raises:
        InputError: a picture that cannot be read, or records that do not fit the model.
    """
    progress(f"{name}: answers", 0, 1)
    said = ask(vlm, plan.data, plan.scored)
    each = score_each(plan.scored, said)
    progress(f"{name}: answers", 1, 1)
    answers = {record.id: text for record, text in zip(plan.scored, said, strict=True)}
    statistics = Statistics.of(vlm, plan.data, seed=plan.seed, limit=plan.limit, answers=answers)
    progress(f"{name}: statistics", 1, 1)
    target = Target(vlm, plan.data, plan.attacked, plan.seed)
    outcomes = attack_model(
        target,
        plan.preset,
        only=only,
        options=options,
        progress=lambda attack, done, total: progress(f"{name}: attacks", done, total),
    )
    return Side(name, each, outcomes, statistics, _general(vlm, general, plan.seed))


def _general(vlm: VLM, sets: Mapping[str, Data], seed: int) -> dict[str, dict[str, Any]]:
    from excise.evaluate.intervals import interval

    found: dict[str, dict[str, Any]] = {}
    for name, data in sets.items():
        records = data.select(use="score")
        each = score_each(records, ask(vlm, data, records))
        metrics = dict.fromkeys(metric for scores in each for metric in scores)
        for metric in metrics:
            pairs = [(s[metric], r) for s, r in zip(each, records, strict=True) if metric in s]
            people = [r.subject or r.id for _, r in pairs]
            figure = interval([value for value, _ in pairs], people, seed=seed)
            found.setdefault(name, {})[metric] = figure
    return found
