"""Exact answer: 1 if answer and reference are the same once spelling is put aside.

For questions only: a caption has many right wordings, and a box is right by degrees.
"""

from __future__ import annotations

from excise.evaluate.registry import metric
from excise.evaluate.text import normalise
from excise.records.record import Record


@metric("exact", tasks={"question"}, reference="normalised exact match, as in arXiv 1606.05250")
def exact(record: Record, answer: str) -> float:
    """1.0 or 0.0; case, punctuation, articles, accents and number formats do not count."""
    return float(normalise(answer) == normalise(record.answer))
