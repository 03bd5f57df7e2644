"""Which questions go with a picture that nobody asked anything about: those of its likes.

A face is to be asked about faces, and an eye about eyes, and nobody has sorted the pictures. A
thumbnail tells enough: a picture is asked what was asked of the forget picture most like it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from excise.methods.method import Material
from excise.records.record import Record

LOOKING = ("What is shown in the picture?", "Describe the picture.", "What can you see here?")
"""Asked about unlabelled pictures that come without questions of their own."""
THUMBNAIL, LIKE = 8, 6
"""Sides of a thumbnail; how many pictures most like one lend it their questions."""


@dataclass(frozen=True)
class Sort:
    """One forget picture: its thumbnail, and the questions that go with such pictures."""

    thumbnail: NDArray[np.float32]
    private: tuple[str, ...]
    seen: tuple[str, ...]


def sorts(material: Material) -> list[Sort]:
    """A sort for each forget picture, with the questions that were asked about those like it."""
    private = _by_picture(material, material.forget)
    looking = material.data.select(
        splits=["forget", "few"], kinds=["image_understanding", "general"], use="fit"
    )
    seen = _by_picture(material, looking)
    return [
        Sort(small, _of_nearest(private, small), _of_nearest(seen, small) or LOOKING)
        for small, _ in private.values()
    ]


def _by_picture(
    material: Material, records: Sequence[Record]
) -> dict[str, tuple[NDArray[np.float32], list[str]]]:
    """Thumbnail and questions of each picture."""
    found: dict[str, tuple[NDArray[np.float32], list[str]]] = {}
    for record in records:
        if record.image is None:
            continue
        if record.image not in found and (picture := material.data.picture(record)) is not None:
            found[record.image] = _thumbnail(picture), []
        found[record.image][1].append(record.question)
    return found


def _of_nearest(
    pictures: dict[str, tuple[NDArray[np.float32], list[str]]], small: NDArray[np.float32]
) -> tuple[str, ...]:
    """What is asked about the `LIKE` pictures most like a thumbnail."""
    ranked = sorted(pictures.values(), key=lambda found: -float((found[0] * small).sum()))
    return tuple(dict.fromkeys(q for _, questions in ranked[:LIKE] for q in questions))


def nearest(known: Sequence[Sort], picture: Image.Image) -> Sort | None:
    """The sort whose forget picture a picture is most like; None if there is none."""
    small = _thumbnail(picture)
    return max(known, key=lambda sort: float((sort.thumbnail * small).sum()), default=None)


def _thumbnail(picture: Image.Image) -> NDArray[np.float32]:
    """(8, 8, 3), centred and of norm 1."""
    small = np.asarray(picture.convert("RGB").resize((THUMBNAIL, THUMBNAIL)), dtype=np.float32)
    small = small - small.mean()
    unit: NDArray[np.float32] = small / (np.linalg.norm(small) + 1e-6)
    return unit
