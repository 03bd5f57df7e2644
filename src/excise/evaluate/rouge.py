"""ROUGE-L: F1 of the longest common subsequence of stemmed words, by the package rouge-score.

Words are found as the package does, except that letters outside ASCII are letters too: the package
reads "Malmö" as "malm" and a Cyrillic answer as nothing. On ASCII text the scores are its own.
rouge-score takes a second to import, so it is imported at the first score.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from excise.evaluate.registry import metric
from excise.records.record import Record

_WORD = re.compile(r"[^\W_]+")


class _Words:
    """The tokenizer that rouge-score asks for."""

    def tokenize(self, text: str) -> list[str]:
        return [stemmed for word in _WORD.findall(text.lower()) for stemmed in _stem(word)]


@lru_cache(maxsize=65536)
def _stem(word: str) -> tuple[str, ...]:
    return tuple(_package_tokens()(word)) if word.isascii() else (word,)


@lru_cache(maxsize=1)
def _package_tokens() -> Callable[[str], list[str]]:
    from rouge_score.tokenizers import DefaultTokenizer

    tokenize: Callable[[str], list[str]] = DefaultTokenizer(use_stemmer=True).tokenize
    return tokenize


def stem(word: str) -> str:
    """The Porter stem of one lower-case word, as ROUGE sees it."""
    return "".join(_stem(word))


@lru_cache(maxsize=1)
def _scorer() -> Callable[[str, str], tuple[float, float]]:
    """F1 and recall of a reference and an answer."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], tokenizer=_Words())

    def both(target: str, answer: str) -> tuple[float, float]:
        found = scorer.score(target, answer)["rougeL"]
        return float(found.fmeasure), float(found.recall)

    return both


@lru_cache(maxsize=65536)
def rouge_l_f1(reference: str, answer: str) -> float:
    """ROUGE-L F1 between two texts, 0 to 1; 0 if either has no word."""
    return _scorer()(reference, answer)[0]


@lru_cache(maxsize=65536)
def rouge_l_recall(reference: str, answer: str) -> float:
    """ROUGE-L recall: the share of the reference that the answer says, 0 to 1, in its order."""
    return _scorer()(reference, answer)[1]


@metric("rouge_l", tasks={"question", "caption"}, reference="Lin 2004; F1 of rouge-score, stemmed")
def rouge_l(record: Record, answer: str) -> float:
    """F1, 0 to 1. Not for boxes, whose digits have no order of words (`iou` is)."""
    return rouge_l_f1(record.answer, answer)
