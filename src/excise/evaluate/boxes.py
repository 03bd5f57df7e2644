"""Grounding: intersection over union of a box written as text, `[x1, y1, x2, y2]`.

The units do not matter as long as answer and reference share them. An answer without exactly four
numbers in a row, or whose box has no area, overlaps with nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from excise.evaluate.registry import Scorer, corpus_metric
from excise.records.errors import InputError
from excise.records.record import Record

Box = tuple[float, float, float, float]

_N = r"(-?\d+(?:\.\d+)?)"
_GAP = r"\s*[,;\s]\s*"
_BRACKETED = re.compile(rf"[\[(]\s*{_N}{_GAP}{_N}{_GAP}{_N}{_GAP}{_N}\s*[\])]")
_BARE = re.compile(rf"{_N}{_GAP}{_N}{_GAP}{_N}{_GAP}{_N}")
_NUMBER = re.compile(_N)


def parse_box(text: str) -> Box | None:
    """The first box in a text as (x1, y1, x2, y2), or None; brackets may be missing.

    >>> parse_box("It is at [12, 30, 41, 58].")
    (12.0, 30.0, 41.0, 58.0)
    """
    match = _BRACKETED.search(text)
    if match is None and len(_NUMBER.findall(text)) == 4:
        match = _BARE.search(text)
    if match is None:
        return None
    x1, y1, x2, y2 = (float(number) for number in match.groups())
    return x1, y1, x2, y2


def box_iou(a: Box, b: Box) -> float:
    """Area of the intersection over area of the union, 0 to 1.

    A box that is upside down or empty has no area; two equal ones count as the same box.
    """
    if a == b:
        return 1.0
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    shared = width * height
    union = _area(a) + _area(b) - shared
    return shared / union if union > 0 else 0.0


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def iou_of(reference: Box, answer: str) -> float:
    """IoU of a reference box and the box that an answer contains, 0 if it contains none."""
    box = parse_box(answer)
    return 0.0 if box is None else box_iou(reference, box)


@corpus_metric("iou", tasks={"grounding"}, reference="mean IoU of the predicted box")
def iou(records: Sequence[Record]) -> Scorer:
    """Reads all reference boxes first, so that bad data fails before a model is asked.

    Raises:
        InputError: the answer of a grounding record contains no box.
    """
    boxes: dict[str, Box] = {}
    for record in records:
        box = parse_box(record.answer)
        if box is None:
            raise InputError(
                f'record "{record.id}", field answer: no box, expected one like [12, 30, 41, 58]'
            )
        boxes[record.id] = box
    return lambda record, answer: iou_of(boxes[record.id], answer)
