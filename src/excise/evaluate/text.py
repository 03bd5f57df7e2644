"""Text in the form in which answers are compared: `tokens`, and `normalise` for a whole answer.

Two spellings of one fact must meet ("48,300" and "48300", "José" and "jose", "three" and "3"), two
facts must not ("A+" and "A-", "48.3" and "483"). So numbers are put into one form before
punctuation goes, and accents, case and articles are dropped last.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

ARTICLES = frozenset({"a", "an", "the"})
_NUMBERS = dict(
    zip(
        "zero one two three four five six seven eight nine ten eleven twelve".split(),
        map(str, range(13)),
        strict=True,
    )
)
_SPELLING = str.maketrans(
    {"’": "'", "‘": "'", "ʼ": "'", "`": "'", "´": "'", "−": "-", "–": "-", "—": "-", "‑": "-"}
)
_BRACKETED = re.compile(r"(\[[^\]]*\]?)")
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:[, _]\d{3})+(?!\d)")
# Telephone and account numbers, but not "3-5" and not "1990-1995".
_HYPHENATED = re.compile(
    r"(?<![\w-])(?![12]\d{3}-[12]\d{3}\b)(?=[\d-]{6})\d{1,4}(?:-\d{2,4})+(?![\w-])"
)
_DECIMAL = re.compile(r"(?<![\w.])(\d+)\.(\d+)(?!\.?\d)")
_RHESUS = re.compile(r"\b(ab?|b|o)([+-])(?!\w)")
_MINUS = re.compile(r"(^|\s)-(?=\d)")
_TOKEN = re.compile(r"\d+\.\d+|[^\W_]+")


def fold(text: str) -> str:
    """Lower case, no accents, one kind of apostrophe and dash, compatibility forms resolved."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_SPELLING).casefold())
    bare = "".join(c for c in decomposed if not "\u0300" <= c <= "\u036f")
    return unicodedata.normalize("NFKC", bare)


@lru_cache(maxsize=65536)
def tokens(text: str) -> tuple[str, ...]:
    """The words and numbers of a text, in one spelling; articles are kept.

    >>> tokens("It's 48,300 (three times!)")
    ('its', '48300', '3', 'times')
    """
    text = fold(text).replace("'", "")
    text = _RHESUS.sub(lambda m: m[1] + ("plus" if m[2] == "+" else "minus"), text)
    # A box such as [100,200,300,400] has commas between numbers, not inside one.
    parts = _BRACKETED.split(text)
    parts[::2] = [_THOUSANDS.sub(lambda m: re.sub(r"\D", "", m[0]), part) for part in parts[::2]]
    parts[::2] = [_HYPHENATED.sub(lambda m: m[0].replace("-", ""), part) for part in parts[::2]]
    text = _DECIMAL.sub(_shortest, "".join(parts)).replace("%", " percent ")
    text = _MINUS.sub(r"\1 minus ", text)
    return tuple(_NUMBERS.get(word, word) for word in _TOKEN.findall(text))


def normalise(text: str) -> str:
    """The whole answer as compared by `exact`: tokens without the articles before a word.

    A text without a word or number is compared as it stands, folded.
    """
    words = tokens(text)
    kept = [w for i, w in enumerate(words) if w not in ARTICLES or i == len(words) - 1]
    return " ".join(kept) or fold(text).strip()


def _shortest(match: re.Match[str]) -> str:
    fraction = match[2].rstrip("0")
    return f"{match[1]}.{fraction}" if fraction else match[1]
