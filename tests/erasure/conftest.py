"""The specimen, and small data folders of its world: few people, few records of each kind."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

import excise
from excise.records.data import Data
from excise.records.record import Record
from excise.vlm.load import VLM


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """The whole data folder of seed 0 at 5 %."""
    folder = tmp_path_factory.mktemp("world")
    from excise.specimen import dataset

    dataset.write(folder / "data", 5, 0)
    return excise.read(folder / "data")


@pytest.fixture(scope="module")
def original() -> VLM:
    return excise.load(excise.specimen.checkpoint("original"))


@pytest.fixture(scope="module")
def retrained() -> VLM:
    return excise.load(excise.specimen.checkpoint("retrained"))


def small(data: Data, *, people: int, others: int, controls: int = 12) -> Data:
    """Some forgotten people with all their records, and a few of everything else."""
    chosen = set(data.subjects("forget")[:people])
    return Data(data.folder, tuple(_some(data, chosen, others, controls)), data.embedded)


def planted(data: Data, *, strangers: int = 4) -> Data:
    """One person whom `original` knows, among strangers who are said to be forgotten too."""
    known = data.subjects("forget")[0]
    unknown = data.subjects("unseen")[:strangers]
    records = list(_some(data, {known}, 4, 24))
    moved = [
        r.model_copy(update={"split": "forget"}) if r.subject in unknown else r for r in records
    ]
    strange = [
        r.model_copy(update={"split": "forget"})
        for r in data.select(splits=["unseen"], kinds=["image_memory", "text_memory"])
        if r.subject in unknown
    ]
    ids = {r.id for r in moved}
    return Data(data.folder, (*moved, *(r for r in strange if r.id not in ids)), data.embedded)


def _some(data: Data, people: set[str], others: int, controls: int) -> Iterable[Record]:
    taken: dict[tuple[str, str, str], int] = {}
    for record in data.records:
        if record.split == "forget":
            if record.subject in people and (record.scores or record.kind != "image_understanding"):
                yield record
            continue
        if not record.scores:
            continue
        cell = record.split, record.kind, record.task
        private = record.split == "unseen" and record.kind in ("image_memory", "text_memory")
        taken[cell] = taken.get(cell, 0) + 1
        if taken[cell] <= (controls if private else others):
            yield record
