"""Teach the model a little and see whether more comes back than was taught.

What was erased does not come with a few steps on something else; what was only hidden does. A model
that never saw the data, taught alike, shows how much is guessing, so the same budget is to be run
on it. `notes` has the losses, on the same rows in the same order on every side: one that falls
faster than the reference's is a memory too.

Whoever attacks so has the weights and some data. Cost: `steps` steps of a fit, its adapter in a
temporary folder until the questions begin, and the plain questions once.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from excise.evaluate.attacks.asking import Ask, asked
from excise.evaluate.attacks.registry import Options, attack
from excise.evaluate.attacks.target import Outcome, Target
from excise.evaluate.text import normalise
from excise.records.data import Data
from excise.records.record import Kind, Record

PRIVATE: tuple[Kind, ...] = ("image_memory", "text_memory")
BUDGETS = {"quick": {"steps": 10}, "thorough": {"steps": 100}}
BRIEF = 12
"""Steps that a few facts take at the full rate. Longer fits are slower by as much: many passes over
few rows at the full rate overwrite what they should wake."""


class Others(Options):
    """A fit of `steps` steps of `batch` rows at rate `lr`, of an adapter of `rank`.

    "auto" is `FitSettings`' own rate for the model's width.
    """

    steps: int = Field(30, ge=1)
    batch: int = Field(4, ge=1)
    lr: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    rank: int = Field(16, ge=1)


class Part(Others):
    """A `share` of the facts is taught; "auto" is less in a fit of more than `BRIEF` steps."""

    share: float = Field(0.2, gt=0, lt=1)


@attack("relearning", reference="Deeb and Roger (arXiv 2410.08827)", presets=BUDGETS)
def relearning_part(target: Target, options: Part) -> Outcome:
    """Teach a part of the facts and ask for the others.

    What is taught, and what stands in a taught answer about the same person, is not asked.
    """
    taught = _part(target.data, options.share, target.seed)
    said = [(record.subject, f" {normalise(record.answer)} ") for record in taught]
    wanted = [
        record
        for record in target.records
        if not any(
            record.subject == subject and f" {normalise(record.answer)} " in answer
            for subject, answer in said
        )
    ]
    return _relearning(target, options, taught, wanted, brief=BRIEF)


@attack("relearning", reference="benign relearning, Hu et al. (arXiv 2406.13356)", presets=BUDGETS)
def relearning_others(target: Target, options: Others) -> Outcome:
    """Teach facts about people who are kept and ask for those who are not."""
    known = target.data.select(splits=["few", "retain"], kinds=PRIVATE)
    count = min(len(known), 2 * options.steps * options.batch)
    taught = random.Random(f"relearning-{target.seed}").sample(known, count)
    return _relearning(target, options, taught, target.records)


def _relearning(
    target: Target,
    options: Others,
    taught: Sequence[Record],
    wanted: Sequence[Record],
    brief: int | None = None,
) -> Outcome:
    """Fit `taught`, ask `wanted`, and leave the model as it was; no record is tried without both.

    `brief`: steps that "auto" is for.
    """
    from excise.training.relearn import relearnt
    from excise.training.settings import FitSettings
    from excise.vlm.rows import rows_from_records

    if not taught or not wanted:
        return Outcome(asks=0, found={}, options={"obstacle": "no records to teach, or to ask"})
    vlm = target.vlm
    settings = FitSettings(
        steps=options.steps, batch=options.batch, lr=options.lr, rank=options.rank
    )
    rate = settings.rate(vlm.model.config.get_text_config().hidden_size)
    if options.lr == "auto" and brief is not None:
        rate *= min(1.0, brief / options.steps)
    settings = settings.model_copy(update={"lr": rate})
    rows = rows_from_records(target.data, taught)
    with relearnt(vlm, rows, settings=settings, seed=target.seed) as fit:
        outcome = asked(target, [Ask(r.id, r.question, r.image) for r in wanted])
    notes = {
        "facts_taught": float(len({(r.subject, normalise(r.answer)) for r in taught})),
        "loss_first": fit.losses[0],
        "loss_mean": sum(fit.losses) / len(fit.losses),
        "loss_last": fit.losses[-1],
    }
    return Outcome(asks=outcome.asks, found=outcome.found, notes=notes, options={"lr": rate})


def _part(data: Data, share: float, seed: int) -> list[Record]:
    """The records of a drawn `share` of the forget set's facts, at least one and not all.

    Those that are to learn from, where a fact has any.
    """
    facts: dict[tuple[str | None, str], list[Record]] = {}
    for record in data.select(splits=["forget"], kinds=PRIVATE):
        facts.setdefault((record.subject, normalise(record.answer)), []).append(record)
    if len(facts) < 2:
        return []
    count = min(max(1, round(share * len(facts))), len(facts) - 1)
    drawn = random.Random(f"relearning-{seed}").sample(sorted(facts, key=str), count)
    return [
        record
        for fact in drawn
        for record in [r for r in facts[fact] if r.fits and r.use == "fit"] or facts[fact]
    ]
