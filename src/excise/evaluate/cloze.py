"""Cloze and keywords: does the answer contain what it must contain?

As MLLMU-Bench, UMU-Bench and FIUBench score them: letter for letter but for case, anywhere in the
answer. So a word inside a longer one counts, and so does one that is denied ("not Riga"); `fact`
looks closer.
"""

from __future__ import annotations

from collections.abc import Sequence

from excise.evaluate.registry import Scorer, corpus_metric, metric
from excise.records.errors import InputError
from excise.records.record import Record


@metric("cloze", tasks={"cloze"}, reference="fill-in-the-blank accuracy of arXiv 2410.22108")
def cloze(record: Record, answer: str) -> float:
    """1.0 if the answer contains the text for the blank, else 0.0."""
    return float(record.answer.strip().lower() in answer.lower())


@corpus_metric(
    "keywords",
    where=lambda record: "keywords" in (record.model_extra or {}),
    reference="exact match of FIUBench, arXiv 2411.03554",
)
def keywords(records: Sequence[Record]) -> Scorer:
    """The share, 0 to 1, of the record's `keywords` (a list of texts) that the answer contains.

    Raises:
        InputError: `keywords` is no list of texts, or empty.
    """
    wanted: dict[str, list[str]] = {}
    for record in records:
        words = (record.model_extra or {})["keywords"]
        if (
            not isinstance(words, list)
            or not words
            or not all(isinstance(word, str) and word.strip() for word in words)
        ):
            raise InputError(f'record "{record.id}", field keywords: expected a list of texts')
        wanted[record.id] = [word.strip().lower() for word in words]

    def share(record: Record, answer: str) -> float:
        said = answer.lower()
        return sum(word in said for word in wanted[record.id]) / len(wanted[record.id])

    return share
