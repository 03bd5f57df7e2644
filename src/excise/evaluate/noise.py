"""Damage to words: symbols instead of letters, single letters, strings nobody could pronounce."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

from excise.evaluate.damage import WORD, graded

_VOWEL = re.compile(r"[aeiouy]", re.IGNORECASE)
_CONSONANTS = re.compile(r"[bcdfghjklmnpqrstvwxz]{8,}", re.IGNORECASE)
# After each letter those that follow it in English prose or in romanised names from Europe, Africa
# and Asia; the rarest 1 % of pairs in prose are left out.
_PAIRS = {
    line[0]: frozenset(line[2:])
    for line in """
a abcdefghiklmnopqrstuvwxyz
b abcdeghijklmnoprstuy
c acdeghiklmnopqrstuyz
d abdeghijklmnopqrstuvwyz
e abcdefghiklmnopqrstuvwxyz
f aefilorstuy
g abcefghijklmnoprstuy
h adegijklmnorstuvwy
i abcdefgjklmnopqrstuvxz
j aeiou
k adehijklmnoprstuvwyz
l abcdefghijklmnopqrstuvwyz
m abcegijklmnoprstuy
n abcdefghijklmnopqrstuvwxyz
o abcdefghijklmnoprstuvwxyz
p acdefghijklnoprstuy
q buv
r abcdefghiklmnoprstuvwyz
s abcdefghijklmnopqrstuvwyz
t abcdefghijklmnoprstuvwyz
u abcdefghiklmnoprstuz
v adeijlnorstu
w adefhiklmnorsty
x acdehimoptuy
y abcdefghilmnoprstuvwz
z abdeghiklmnostuvwyz
""".split("\n")
    if line
}
_LONGEST_WORD = 30
_ORDINARY_SYMBOLS = frozenset(".,;:!?'\"()[]-–—’‘“”/%&+$€£°#*=@_…")
_RARE_SYMBOLS = frozenset("#@!$%^&*~|<>=?{}[]();_`\\")
_LINK = re.compile(r"https?://\S+|www\.\S+|[\w.+-]+@[\w-]+\.[\w.]+", re.IGNORECASE)


def noise(text: str) -> float:
    """Share of symbols, of single letters, and of words that are no words."""
    text = _LINK.sub("link", text)
    solid = [c for c in text if not c.isspace()]
    if not solid:
        return 0.0
    symbols = sum(not _belongs_to_words(c) for c in solid) / len(solid)
    worst = 0.0 if symbols <= 0.6 else graded(symbols)  # a box of single digits has 0.56
    odd = sum(not _belongs_to_words(c) and c not in _ORDINARY_SYMBOLS for c in solid)
    if odd > 1:
        worst = max(worst, graded(odd / len(solid), fatal=0.3))
    pieces = text.split()
    words = [word for word in WORD.findall(text) if not word.isdigit()] or pieces
    worst = max(worst, graded(sum(map(_is_gibberish, words)) / max(len(words), len(pieces) / 2)))
    worst = max(worst, graded(sum(len(p) for p in pieces if _is_shuffled(p)) / len(solid)))
    single = sum(len(piece) == 1 and piece.isalpha() and piece.isascii() for piece in pieces)
    return max(worst, 0.9 if single >= 3 and single >= 0.6 * len(pieces) else 0.0)


def _is_gibberish(word: str) -> bool:
    """A word in plain Latin letters that nobody could pronounce, or letters and digits shuffled."""
    if not word.isascii() or not word.isalnum():
        return False
    if any(c.isdigit() for c in word):
        return len(re.findall(r"(?<=[a-z])(?=\d)|(?<=\d)(?=[a-z])", word)) >= 2
    if len(re.findall(r"(?<=[a-z])(?=[A-Z])", word)) >= 3 or len(word) > _LONGEST_WORD:
        return True
    if len(word) < 4 or (word.isupper() and len(word) <= 5):
        return False  # abbreviations
    pairs = list(pairwise(word.lower()))
    rare = sum(second not in _PAIRS[first] for first, second in pairs)
    # Two unheard-of pairs in a short word are a foreign name as often as not.
    unusual = rare >= 2 and rare > (0.14 if len(pairs) >= 8 else 0.27) * len(pairs)
    return unusual or not _VOWEL.search(word) or bool(_CONSONANTS.search(word))


def _is_shuffled(piece: str) -> bool:
    """Letters, digits and symbols in turns, as in a password, or many kinds of rare symbols."""
    kinds = ["a" if c.isalpha() else "1" if c.isdigit() else "#" for c in piece]
    turns = sum(a != b for a, b in pairwise(kinds))
    rare = set(piece) & _RARE_SYMBOLS
    mixed = turns >= (4 if len(set(kinds)) == 3 else 6) and len(rare) >= 2
    return mixed or (len(rare) >= 3 and kinds.count("#") >= 0.25 * len(piece))


def _belongs_to_words(c: str) -> bool:
    """Letters, digits, and the marks and joiners that other scripts put between them."""
    return c.isalnum() or unicodedata.category(c) in {"Mn", "Mc", "Cf"}
