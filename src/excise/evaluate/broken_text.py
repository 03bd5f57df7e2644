"""Damage to characters: half a character's bytes, wrong encodings, tokenizer marks, mixed scripts.

A byte-level tokenizer lets a damaged model emit bytes that make no character; a multilingual model
that is damaged jumps from script to script.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from excise.evaluate.damage import graded

_MARKUP = re.compile(
    r"<\|?/?[a-z_0-9 ]{1,24}\|?>|<0x[0-9a-f]{2}>|\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\[/?inst\]|[ĠĊ▁]"
    r"|<<sys>>|\[pad\]|\[unk\]|âĢ",
    re.IGNORECASE,
)
_MOJIBAKE = re.compile(r"Ã[\x80-\xbf©¨¼¶¤±³­]|â€|Â[\x80-\xbf]|ï¿½")


def broken_text(text: str) -> float:
    """Share of the words that hold undecodable, wrongly decoded or foreign characters."""
    text, marks = _MARKUP.subn(" \ufffd ", text)
    pieces = text.split()
    if not pieces:
        return 0.0
    hit = sum(_is_broken(piece) for piece in pieces)
    scripts = {script for piece in pieces for script in _scripts(piece)}
    mixed = 1.0 if len(scripts) >= 3 else 0.0
    # Half a character at the end of a long answer is a length limit, not damage.
    if hit == 1 and not marks and len(pieces) >= 4 and pieces[-1].endswith("\ufffd"):
        return 0.1
    return max(mixed, graded(hit / len(pieces), fatal=0.25))


def _is_broken(piece: str) -> bool:
    if any(unicodedata.category(c) in {"Cc", "Co", "Cn", "Cs"} or c == "\ufffd" for c in piece):
        return True
    if any(ord(c) > 127 for c in piece):
        for encoding in ("cp1252", "latin-1"):
            try:  # "Ã©" is what "é" becomes when its bytes are read as another encoding
                if piece.encode(encoding).decode("utf-8") != piece:
                    return True
            except UnicodeError:
                continue
        if _MOJIBAKE.search(piece):
            return True
    return len(_scripts(piece)) >= 2


@lru_cache(maxsize=16384)
def _scripts(piece: str) -> frozenset[str]:
    """Scripts of the letters; those that are written together count as one."""
    found = {unicodedata.name(c, "?").split()[0] for c in piece if c.isalpha()}
    together = {"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HALFWIDTH", "BOPOMOFO"}
    if found & together:
        found = (found - together) | {"CJK"}
    return frozenset(found - {"FULLWIDTH", "MODIFIER", "FEMININE", "MASCULINE", "MICRO"})
