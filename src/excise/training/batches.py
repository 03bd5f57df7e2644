"""Rows as batches for looking into a model, outside of the trainer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from excise.vlm.load import VLM
from excise.vlm.masks import moved
from excise.vlm.packing import Packer
from excise.vlm.rows import Row


def batches(vlm: VLM, rows: Sequence[Row], size: int) -> Iterator[Mapping[str, Any]]:
    """The rows in their order, so many at a time, on the model's device.

    A batch of one row has no padding: where rows are not packed, each question is a row.

    Raises:
        InputError: a row does not fit the model.
    """
    packer = Packer(vlm.processor, vlm.model)  # now, since it may run the model to know it
    if packer.obstacle is not None:
        rows = [Row(row.picture, (turn,)) for row in rows for turn in row.turns]
    starts = range(0, len(rows), size)
    return (_batch(vlm, packer, rows[start : start + size]) for start in starts)


def _batch(vlm: VLM, packer: Packer, rows: Sequence[Row]) -> Mapping[str, Any]:
    batch = packer.collate([packer.encode(row) for row in rows])
    pictures = batch.pop("pictures")
    return {**moved(batch, vlm.device), "pictures": pictures}
