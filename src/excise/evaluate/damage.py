"""What the rules of the meaningful score share: words, and how a share of damage is graded."""

from __future__ import annotations

import re
from functools import lru_cache

WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")
FATAL = 0.5
"""A rule that hits this share of an answer has destroyed it."""


def graded(share: float, *, fatal: float = FATAL) -> float:
    """0.85 (a score of 1.5) at the fatal share, 1 when all is hit, in proportion below."""
    if share >= fatal:
        return 0.85 + 0.15 * min(1.0, (share - fatal) / (1.0 - fatal))
    return 0.85 * max(0.0, share) / fatal


@lru_cache(maxsize=4096)
def words_of(text: str) -> tuple[str, ...]:
    """The words and numbers of a text in lower case, hyphenated ones whole."""
    return tuple(word.lower() for word in WORD.findall(text))
