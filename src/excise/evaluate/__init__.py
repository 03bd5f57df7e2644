"""Scores of a model: small metrics, each in a file of its own, and their intervals.

The room can be called: `excise.evaluate(vlm, data)` is `excise.evaluate.evaluate.evaluate`. A
module that is also a function keeps the short name working whatever was imported before; importing
it loads neither torch nor rouge-score.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from excise.evaluate.evaluate import ask, evaluate
from excise.evaluate.registry import METRICS, Metric, corpus_metric, metric
from excise.evaluate.scoring import score_answers

__all__ = ["METRICS", "Metric", "ask", "corpus_metric", "evaluate", "metric", "score_answers"]


class _Room(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return evaluate(*args, **kwargs)


sys.modules[__name__].__class__ = _Room
