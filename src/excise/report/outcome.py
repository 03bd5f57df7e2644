"""What became of one answer: vanished, still there, kept, lost, or simply different.

The gallery shows a handful of answers beside their pictures and needs one word for each. The word
is a reading aid by plain string rules; what counts is the table, which the metrics made.
"""

from __future__ import annotations

import re
from typing import Literal

Outcome = Literal["vanished", "still there", "kept", "lost", "not known before", "changed"]
PRIVATE = frozenset({"image_memory", "text_memory"})


def outcome(who: str, kind: str, reference: str, before: str, after: str) -> Outcome:
    """Compare the answers before and after with the true one.

    Private facts of forgotten people should vanish; everything else should be kept.
    """
    knew, knows = matches(before, reference), matches(after, reference)
    if who == "forgotten" and kind in PRIVATE:
        if knows:
            return "still there"
        return "vanished" if knew else "not known before"
    if knows or words(before) == words(after):
        return "kept"
    return "lost" if knew else "changed"


def matches(answer: str, reference: str) -> bool:
    """Whether an answer states the reference: equal, or a short sentence around it.

    Words of one letter-pair or less ("no", "3") must be the whole answer, else "I have no idea"
    would state "no". Two boxes match when they overlap by half (IoU).
    """
    told, true = words(answer), words(reference)
    if not told or not true:
        return False
    box_a, box_b = _box(answer), _box(reference)
    if box_a and box_b:
        return _iou(box_a, box_b) >= 0.5
    if told == true:
        return True
    if len(" ".join(true)) <= 3 or len(told) > len(true) + 8:
        return False
    size = len(true)
    return any(told[i : i + size] == true for i in range(len(told) - size + 1))


def words(text: str) -> list[str]:
    """Lower-case words and numbers without articles; "48,300" and "48300" are one number."""
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text.casefold())
    return [w for w in re.findall(r"\w+", text) if w not in {"a", "an", "the"}]


def _box(text: str) -> tuple[float, ...] | None:
    inside = re.fullmatch(r"\s*\[([\d\s.,]+)\]\.?\s*", text)
    numbers = re.findall(r"\d+(?:\.\d+)?", inside.group(1)) if inside else []
    return tuple(map(float, numbers)) if len(numbers) == 4 else None


def _iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0
