"""Damage by repetition: the loop that a damaged model falls into, of words or of characters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from excise.evaluate.damage import graded, words_of

_BOX = re.compile(r"^\s*[\[(]\s*-?\d+(?:\.\d+)?(?:\s*[,;\s]\s*-?\d+(?:\.\d+)?){3}\s*[\])]\W*$")
_SINGLE_RUN = re.compile(r"([^\W\d_])\1{3,}", re.IGNORECASE)
_UNIT_RUN = re.compile(r"(\S{2,}?)\1{2,}", re.IGNORECASE)
_LETTER_UNIT_RUN = re.compile(r"((?=[^a-z]{0,23}[a-z])\S{2,24}?)\1{2,}", re.IGNORECASE)
_STUTTER = re.compile(r"^([^\W\d_][^\W_]{3,})\1$", re.IGNORECASE)
_SYMBOL_RUN = re.compile(r"([^\w\s])\1{3,}")
_GROUP_RUN = re.compile(r"([^\w\s]?\d{1,4}[^\w\s])\1{3,}")
_LONGEST = 800
"""Characters looked at by the search over the whole answer, whose cost grows with the square."""


def loops(text: str) -> float:
    """Share of the answer inside repetitions, of words or of characters."""
    if _BOX.match(text):
        return 0.0  # the corners of a box may well be alike
    words = words_of(re.sub(r"(?:,000)+(?!\d)", "000", text))  # 1,000,000,000 is no loop
    by_words = _looped(words) / len(words) if words else 0.0
    squeezed = re.sub(r"\s+", "", text)[:_LONGEST]
    inside = sum(map(_repeated, text.split()))
    across = sum(len(match[0]) for match in _LETTER_UNIT_RUN.finditer(squeezed))
    by_characters = max(inside / len(text), across / len(squeezed)) if squeezed else 0.0
    stutter = 0.2 if len(words) == 2 and words[0] == words[1] else 0.0
    return max(graded(max(by_words, by_characters)), stutter, _variety(words))


def _looped(words: Sequence[str]) -> int:
    """How many words lie in a phrase of up to 12 words said three times in a row, or in four or
    more words said twice in a row, the last perhaps broken off."""
    inside = [False] * len(words)
    for size in range(1, min(12, len(words) // 2) + 1):
        start = 0
        while start + size < len(words):
            end = start + size
            while end < len(words) and words[end] == words[end - size]:
                end += 1
            length = end - start
            if length >= 3 * size or (size >= 4 and length >= 2 * size):
                inside[start:end] = [True] * length
                start = end
            else:
                start += 1
    return sum(inside)


def _variety(words: Sequence[str]) -> float:
    """Long answers that go round in few pairs of words, without repeating exactly."""
    pairs = list(pairwise(words))
    if len(pairs) < 10:
        return 0.0
    share = 1.0 - len(set(pairs)) / len(pairs)
    return 0.0 if share < 0.4 else graded(share, fatal=0.55)


def _repeated(piece: str) -> int:
    """How many characters of a word are repetition."""
    core = piece.strip(".,;:!?\"'()[]")
    if not core:
        return len(piece) if _SYMBOL_RUN.search(piece) else 0
    if core.isdigit():
        same = len(core) >= 5 and len(set(core)) == 1
        cycle = re.fullmatch(r"(\d{2,6}?)\1{3,}\d*", core)
        return len(core) if same or cycle or len(core) > 24 else 0
    # "RigaRiga", but not "beriberi"
    if _STUTTER.match(core) and core[len(core) // 2].isupper():
        return len(core)
    if _GROUP_RUN.search(core) and not re.search(r"(?:,000)+$", core):
        return len(core)
    match = _SINGLE_RUN.search(core) or _UNIT_RUN.search(core) or _SYMBOL_RUN.search(core)
    if match is None or re.fullmatch(r"[\d,.]+", match[0]):
        return 0
    return len(core) if len(match[0]) >= 0.5 * len(core) else len(match[0])
