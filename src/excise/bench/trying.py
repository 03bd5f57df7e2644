"""How one set of settings is preferred to another: on a held-out part of what a method may see.

Held out are a fifth of the records of the forget set, each of which asks for a fact that another
record still teaches; and a third of the few people as a whole, who show what becomes of somebody
whom the method was not told to keep. Nothing of `retain` or `unseen` is looked at. Trials learn
from the rest; the settings preferred are then used on everything.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from excise.evaluate.evaluate import ask
from excise.evaluate.scoring import METRICS
from excise.methods.material import PRIVATE, hold_out
from excise.records.data import Data
from excise.records.record import Record
from excise.vlm.load import VLM

PEOPLE = 0.3  # of the few
MOST = 256  # records asked of each sort
PARTS = ("forgotten", "memory", "understanding")

Memory = dict[str, float | None]
"""Mean ROUGE-L of each of `PARTS`; None where there are no records."""


@dataclass(frozen=True)
class Trying:
    """What trials learn from (`data`), and the held-out records that they are judged by."""

    data: Data
    held: dict[str, list[Record]]
    trained: bool
    """Nothing of the forget set could be held out: what is judged was learnt from."""

    @classmethod
    def of(cls, data: Data, seed: int) -> Trying:
        """Hold out by `seed`."""
        rng = random.Random(f"trying-{seed}")
        forget, few = (data.select(splits=[s], use="fit") for s in ("forget", "few"))
        _, out = hold_out(forget, seed)
        trained = not any(record.kind in PRIVATE for record in out)
        people = sorted({record.subject for record in few if record.subject})
        if len(people) > 1:
            apart = rng.sample(people, max(1, round(PEOPLE * len(people))))
            out = [*out, *(record for record in few if record.subject in apart)]
        else:
            out = [*out, *hold_out(few, seed)[1]]
        judged = out if not trained else [*out, *(r for r in forget if r.kind in PRIVATE)]

        def sample(records: Sequence[Record]) -> list[Record]:
            return rng.sample(list(records), min(MOST, len(records)))

        held = {
            "forgotten": sample([r for r in judged if _of(r, "forget") and r.kind in PRIVATE]),
            "memory": sample([r for r in judged if _of(r, "few") and r.kind in PRIVATE]),
            "understanding": sample([r for r in judged if r.kind == "image_understanding"]),
        }
        ids = {record.id for record in out}
        learnt = (r.model_copy(update={"use": "score"}) if r.id in ids else r for r in data.records)
        return cls(replace(data, records=tuple(learnt)), held, trained)

    def examine(self, vlm: VLM) -> Memory:
        """The model as it is now, on what was held out."""
        records = [record for part in PARTS for record in self.held[part]]
        if not records:
            return dict.fromkeys(PARTS)
        score = METRICS["rouge_l"].prepare(records)
        said = iter(ask(vlm, self.data, records))
        means: Memory = {}
        for part in PARTS:
            scores = [score(record, next(said)) for record in self.held[part]]
            means[part] = fmean(scores) if scores else None
        return means


def _of(record: Record, split: str) -> bool:
    return record.split == split


def balance(before: Memory, after: Memory) -> float:
    """How well a model forgets and keeps at once, from 0 to 1.

    The harmonic mean of the share forgotten, the share of memory kept and the share of
    understanding kept, each against the untouched model: a method that gives one away for the
    others gets nothing (as TOFU's model utility does, arXiv 2401.06121). A part that the untouched
    model scores nothing on is left out.
    """
    shares = []
    for part in PARTS:
        was, now = before[part], after[part]
        if not was or now is None:
            continue
        kept = min(1.0, max(0.0, now / was))
        shares.append(1.0 - kept if part == "forgotten" else kept)
    if not shares or min(shares) <= 0:
        return 0.0
    return len(shares) / sum(1.0 / share for share in shares)
