"""Damage to sentences: nothing said at all, or words of grammar with nothing between them."""

from __future__ import annotations

from itertools import pairwise

from excise.evaluate.damage import graded, words_of

_GRAMMAR = frozenset(
    "the a an of in on to and or for with at by from as into than that which is was are be were"
    " its this it".split()
)
_JOINTS = frozenset("the a an of in on to and or for with at by from as into than".split())
_LONE = frozenset(
    "the an of to and or for with at by from as into than that which is was are be were its".split()
)
_ARTICLES = frozenset({"the", "a", "an"})


def emptiness(text: str) -> float:
    """All or nothing: no letter or digit, or one word that cannot stand alone."""
    words = words_of(text)
    if not any(c.isalnum() for c in text):
        return 1.0
    return 0.9 if len(words) == 1 and words[0] in _LONE else 0.0


def soup(text: str) -> float:
    """Grammar without content: share of joints that meet, and nothing but joints."""
    words = words_of(text)
    if len(words) < 2:
        return 0.0
    bad = sum(_cannot_meet(a, b) for a, b in pairwise(words))
    joints = sum(word in _JOINTS for word in words) / len(words)
    grammar = sum(word in _GRAMMAR for word in words) / len(words)
    only = 1.0 if len(words) >= 5 and (joints >= 0.7 or grammar >= 0.85) else 0.0
    return max(only, 0.0 if bad == 0 else graded(bad / (len(words) - 1), fatal=0.3))


def _cannot_meet(first: str, second: str) -> bool:
    if first in _ARTICLES:
        return second in _GRAMMAR
    if first == second:
        return first in _GRAMMAR
    return first in {"of", "and", "or"} and second in {"of", "and", "or", "is", "was"}
