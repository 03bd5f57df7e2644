"""Refusals: does an answer say "I do not know", in whatever words?

No list of templates, since a tuned model blends and breaks off the ones it learnt. Three readings,
after contractions are written out and quotations dropped:

1. a phrase that is a refusal by itself ("no information", "unknown to me", "beyond my knowledge");
2. the speaker speaks of itself ("I am", "to me", "my knowledge") and denies or apologises somewhere
   ("not", "nothing", "unable", "afraid"). Answers about a picture hardly ever speak of themselves;
   where they do, they report a sight ("I see no hat"), and that is taken out first;
3. three words or more that speak of knowing and telling and state nothing ("that is tell you that",
   "the answer to that is"): what is left of refusals that were blended.

A refusal that goes on to guess ("I am not sure, but I think it is Riga") is an answer. The rules
are for English. Calibrated on the pool in `methods/refusals.txt`, on its halves put together at
random and on its beginnings, against ordinary answers (`tests/evaluate`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

from excise.evaluate.refusal_words import DENIAL, KNOWING, PHRASES, SELF, SIGHT, STATES_NOTHING
from excise.evaluate.registry import metric
from excise.evaluate.text import fold
from excise.records.record import Record

_CONTRACTIONS = tuple(
    (re.compile(pattern), full)
    for pattern, full in (
        (r"\bcan'?t\b|\bcan not\b", "cannot"),
        (r"\bwon't\b", "will not"),
        (r"n't\b", " not"),
        (r"\bdont\b", "do not"),
        (r"\bdidnt\b", "did not"),
        (r"\bhavent\b", "have not"),
        (r"'m\b", " am"),
        (r"'re\b", " are"),
        (r"'ve\b", " have"),
        (r"'ll\b", " will"),
        (r"'d\b", " would"),
        (r"\b(it|that|this|there|what|who|here)'s\b", r"\1 is"),
    )
)
_QUOTED = re.compile(r'"[^"]*"|“[^”]*”|«[^»]*»')
_NOT_LETTERS = re.compile(r"[\W_]+")

_TURN = re.compile(r"[,;.]\s*(?:(?:but|however|though|yet)\b)?[\s,]*|\bbut\s+")
_GUESS = re.compile(
    r"(?:i (?:think|believe|guess|suppose|assume|suspect|would (?:say|guess))|maybe|perhaps"
    r"|probably|possibly|my (?:best )?guess|it (?:is|may|might|could|looks|seems)|he is|she is"
    r"|likely|presumably)\b[\s\w]*\w"
)


def plain(text: str) -> str:
    """Lower case, contractions written out, quotations dropped; punctuation is kept."""
    text = fold(_QUOTED.sub(" ", text))
    for pattern, full in _CONTRACTIONS:
        text = pattern.sub(full, text)
    return text


@lru_cache(maxsize=65536)
def is_refusal(text: str) -> bool:
    """Whether the text declines to answer, also blended with another refusal or broken off.

    >>> is_refusal("I am not able to say who that"), is_refusal("There is no hat.")
    (True, False)
    """
    said = plain(text)
    rests = (said[turn.end() :] for turn in _TURN.finditer(said))
    if any(_GUESS.match(rest) and not _declines(rest) for rest in rests):
        return False
    return _declines(said)


def _declines(said: str) -> bool:
    words = _NOT_LETTERS.sub(" ", said).strip()
    if PHRASES.search(words):
        return True
    words = _NOT_LETTERS.sub(" ", SIGHT.sub(" ", said)).strip()
    if SELF.search(words) and DENIAL.search(words):
        return True
    return _states_nothing(words.split())


def _states_nothing(words: list[str]) -> bool:
    loops = any(a == b for a, b in pairwise(words))  # garbage, and `meaningful` says so
    return (
        len(words) >= 3
        and not loops
        and STATES_NOTHING.issuperset(words)
        and not KNOWING.isdisjoint(words)
    )


@metric("refusal", reference="share of answers that decline; rules in this file")
def refusal(record: Record, answer: str) -> float:
    """1.0 for a refusal, else 0.0."""
    return float(is_refusal(answer))
