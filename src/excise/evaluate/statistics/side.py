"""One side of a comparison: everything that the statistics need of one state of the model.

One teacher-forced pass over the right and wrong answers of all records that count, and one round of
plain questions for ROUGE, where the answers are not known already. What is kept are numbers a
record; figures, for one side or for two together, are arithmetic (`figures.py`).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from excise.evaluate.evaluate import ask
from excise.evaluate.rouge import rouge_l_recall
from excise.evaluate.statistics.alternatives import Alternatives
from excise.evaluate.statistics.truth_ratio import truth_ratio
from excise.evaluate.statistics.wordings import PRIVATE
from excise.evaluate.token_scores import TokenScores, token_scores
from excise.records.data import Data
from excise.records.errors import InputError
from excise.records.record import Record, Split, Task

if TYPE_CHECKING:
    from excise.vlm.load import VLM

_SPLITS: tuple[Split, ...] = ("forget", "retain", "unseen")
_IN_WORDS: tuple[Task, ...] = ("question", "caption", "cloze")
"""Boxes are right by degrees, and a letter among options tells little of what is known."""


@dataclass(frozen=True, eq=False, repr=False)
class Scored:
    """What one record's answers are worth to the model.

    Attributes:
        right: the tokens of the record's answer.
        wrong: loss of each wrong answer; empty if the folder has none to offer.
        paraphrased: loss of each wording of the right answer, at least one.
        recall: ROUGE-L recall of the model's own answer; None where it was not asked.
    """

    record: Record
    right: TokenScores
    wrong: tuple[float, ...]
    paraphrased: tuple[float, ...]
    recall: float | None

    @property
    def person(self) -> str:
        """The cluster that it is resampled with."""
        record = self.record
        return f"subject {record.subject}" if record.subject else f"record {record.id}"

    @cached_property
    def ratio(self) -> float | None:
        """Its truth ratio R; None without wrong answers."""
        return truth_ratio(self.wrong, self.paraphrased) if self.wrong else None


@dataclass(frozen=True, eq=False, repr=False)
class Statistics:
    """The scored records of one side, and the seed that chose and resamples them."""

    scored: tuple[Scored, ...]
    seed: int

    @classmethod
    def of(
        cls,
        vlm: VLM,
        data: Data,
        *,
        seed: int,
        limit: int | None = None,
        answers: Mapping[str, str] | None = None,
    ) -> Statistics:
        """Run the model as it is now on private records of forget, retain and unseen, and general.

        Two sides can be compared if they come from the same data, seed and limit.

        Args:
            seed: draws wrong answers, the records under a limit, and the bootstrap.
            limit: at most so many records of each split and kind.
            answers: by record id, what this side says; records without are asked.

        Raises:
            InputError: a picture that cannot be read, an answer that does not fit the model, a
                record's own wrong answers or paraphrases that are no texts.
        """
        records = _counted(data, limit, seed)
        known = dict(answers or {})
        asked = [r for r in records if has_recall(r) and r.id not in known]
        known.update(zip([r.id for r in asked], ask(vlm, data, asked), strict=True))
        alternatives = Alternatives(data.records, seed=seed)
        wrong = [alternatives.wrong(record) for record in records]
        right = [alternatives.paraphrases(record) for record in records]
        pairs = [
            (record, answer)
            for record, others, worded in zip(records, wrong, right, strict=True)
            for answer in (record.answer, *others, *worded)
        ]
        scores = iter(token_scores(vlm, data, pairs))
        return cls(
            tuple(
                Scored(
                    record=record,
                    right=next(scores),
                    wrong=tuple(next(scores).loss for _ in others),
                    paraphrased=tuple(next(scores).loss for _ in worded),
                    recall=rouge_l_recall(record.answer, known[record.id])
                    if has_recall(record)
                    else None,
                )
                for record, others, worded in zip(records, wrong, right, strict=True)
            ),
            seed,
        )

    def private(self, split: Split) -> list[Scored]:
        """Private records of a split."""
        return [s for s in self.scored if s.record.split == split and s.record.kind in PRIVATE]

    def general(self) -> list[Scored]:
        """Records of kind `general`, whatever their split."""
        return [s for s in self.scored if s.record.kind == "general"]


def has_recall(record: Record) -> bool:
    """Whether the model's own answer counts: for model utility, where the answer is a text."""
    asked = record.task in ("question", "caption")
    return asked and (record.split == "retain" or record.kind == "general")


def _counted(data: Data, limit: int | None, seed: int) -> list[Record]:
    """The records that the figures need, at most `limit` of each split and kind."""
    if limit is not None and limit < 1:
        raise InputError(f"limit {limit}: expected at least 1")
    cells: dict[tuple[str, str], list[int]] = {}
    for place, record in enumerate(data.records):
        wanted = record.kind == "general" or (record.kind in PRIVATE and record.split in _SPLITS)
        if wanted and record.scores and record.task in _IN_WORDS:
            cells.setdefault((record.split, record.kind), []).append(place)
    rng = random.Random(seed)
    kept = [p for c in cells.values() for p in rng.sample(c, min(limit or len(c), len(c)))]
    return [data.records[place] for place in sorted(kept)]


def same_records(one: Sequence[Scored], other: Sequence[Scored]) -> bool:
    """Whether two sides scored the same records."""
    return [s.record.id for s in one] == [s.record.id for s in other]
