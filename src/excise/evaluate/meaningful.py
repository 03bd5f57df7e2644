"""Meaningful score, 0 to 10, offline: is the answer language at all, right or wrong?

A destroyed model must not pass for one that forgot, so this looks at the form alone. Each rule says
how much of the answer is damaged, 0 to 1; the worst counts, and the score is `10 * (1 - damage)`:

- `emptiness`: no letter and no digit, or a lone article or preposition;
- `broken_text`: undecodable bytes, text decoded as the wrong encoding, tokenizer marks and special
  tokens, scripts mixed within a word or three in one answer;
- `loops`: a run of words or characters said three times or more ("the the the", "RigaRigaRiga");
- `noise`: symbols instead of words, runs of single letters, words that nobody could pronounce;
- `soup`: words of grammar with nothing between them ("of the in to and the of").

Under 2 is garbage, above 7 a sane answer, however short ("3", "Riga", "[12, 30, 41, 58]"); refusals
are sane. Fluent nonsense and a fluent answer to another question are not seen: for those there are
the other metrics. The rules know Latin script best; other scripts are checked for loops and broken
text. Costs about 0.1 ms an answer. Each rule has its file, the examples are in the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from excise.evaluate.broken_text import broken_text
from excise.evaluate.loops import loops
from excise.evaluate.noise import noise
from excise.evaluate.registry import metric
from excise.evaluate.soup import emptiness, soup
from excise.records.record import Record

RULES: tuple[Callable[[str], float], ...] = (emptiness, broken_text, loops, noise, soup)


@lru_cache(maxsize=65536)
def meaningful_score(text: str) -> float:
    """0 (garbage) to 10 (sane)."""
    damage = max(rule(text) for rule in RULES)
    return round(10.0 * (1.0 - min(1.0, damage)), 2)


@metric("meaningful", best=10.0, reference="offline counterpart of the judge in arXiv 2511.20196")
def meaningful(record: Record, answer: str) -> float:
    """0 to 10 by the form of the answer alone; the record does not matter."""
    return meaningful_score(answer)
