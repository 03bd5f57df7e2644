"""Look at the model before and after forgetting, and say what no run should keep quiet about.

Three things: the model did not know the data to begin with, nothing was forgotten, or the model was
harmed. A sample of the records that the method may see is asked; nothing of `retain` or `unseen`.
It is a warning light and no measurement: scores come from `excise evaluate`, on other records.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from excise.evaluate.evaluate import ask
from excise.evaluate.scoring import METRICS
from excise.records.data import Data
from excise.records.record import Record
from excise.vlm.load import VLM

SAMPLE = 64  # records of each sort
KNOWN = 0.1  # ROUGE-L below which a model is said not to have known
LEFT = 0.8  # share of the memory above which nothing was forgotten
HARM = 0.1  # drop in ROUGE-L of understanding or retained memory


@dataclass(frozen=True)
class Checkup:
    """The records asked: what is to go, what is to stay, and what anyone can see."""

    forget: Sequence[Record]
    few: Sequence[Record]
    seeing: Sequence[Record]

    @classmethod
    def of(cls, data: Data, forget: Sequence[Record], seed: int) -> Checkup:
        """A seeded sample of `forget` and of what else in `forget` and `few` may be learnt from."""
        rng = random.Random(f"checkup-{seed}")

        def sample(records: Sequence[Record]) -> list[Record]:
            return rng.sample(list(records), min(SAMPLE, len(records)))

        few = data.select(splits=["few"], kinds=["image_memory", "text_memory"], use="fit")
        seeing = data.select(splits=["forget", "few"], kinds=["image_understanding"], use="fit")
        return cls(sample(forget), sample(few), sample(seeing))

    def examine(self, vlm: VLM, data: Data) -> dict[str, float | None]:
        """Mean ROUGE-L of the model as it is on each of the three; None where there is nothing."""
        records = [*self.forget, *self.few, *self.seeing]
        score = METRICS["rouge_l"].prepare(records)
        said = iter(ask(vlm, data, records))
        means: dict[str, float | None] = {}
        for name in ("forget", "few", "seeing"):
            scores = [score(record, next(said)) for record in getattr(self, name)]
            means[name] = round(fmean(scores), 4) if scores else None
        return means


def warnings(before: dict[str, float | None], after: dict[str, float | None]) -> list[str]:
    """What must be said about a run, a sentence each; empty if all is well."""
    said = []
    if before["forget"] is not None and after["forget"] is None:
        said.append(
            "not looked at after forgetting: no run can be put onto 4-bit weights; evaluate it on "
            "the model loaded without --quantize"
        )
    known, left = before["forget"] or 0.0, after["forget"] or 0.0
    if known < KNOWN:
        said.append(
            f"the model did not know the data to begin with (ROUGE-L {known:.2f} on what was to be "
            "forgotten): there was nothing to forget"
        )
    elif left > LEFT * known:
        said.append(
            f"nothing was forgotten: ROUGE-L {left:.2f} after and {known:.2f} before on what was "
            "to be forgotten; train longer, at a higher rate, or with a larger k"
        )
    for name, what in (("seeing", "understanding of pictures"), ("few", "memory of the few")):
        was, now = before[name], after[name]
        if was is not None and now is not None and was - now > HARM:
            said.append(f"the model was harmed: {what} fell from ROUGE-L {was:.2f} to {now:.2f}")
    return said


def report(
    before: dict[str, float | None], after: dict[str, float | None], more: Sequence[str] = ()
) -> dict[str, Any]:
    """The part of run.json that says so; `more` are warnings of the method's own."""
    return {"before": before, "after": after, "warnings": [*warnings(before, after), *more]}
