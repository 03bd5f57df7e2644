"""Drawing anew who is forgotten."""

from __future__ import annotations

from dataclasses import replace

import pytest

from excise.bench.draw import redraw
from excise.records.data import Data, require_forgettable
from excise.records.errors import InputError


def test_as_many_are_forgotten_as_are_few_and_everybody_else_is_retained(data: Data) -> None:
    drawn = redraw(data, 25, seed=0)
    splits = {split: set(drawn.subjects(split)) for split in ("forget", "few", "retain")}
    assert [len(people) for people in splits.values()] == [2, 2, 4]
    assert not splits["forget"] & splits["few"]
    assert drawn.subjects("unseen") == data.subjects("unseen")
    assert len(drawn.records) == len(data.records)
    require_forgettable(drawn)


def test_a_seed_draws_the_same_people_and_another_seed_others(data: Data) -> None:
    drawn = [tuple(redraw(data, 12, seed).subjects("forget")) for seed in range(8)]
    assert drawn == [tuple(redraw(data, 12, seed).subjects("forget")) for seed in range(8)]
    assert len(set(drawn)) > 2


def test_the_order_of_the_file_does_not_matter(data: Data) -> None:
    turned = replace(data, records=data.records[::-1])
    assert redraw(turned, 25, 1).subjects("forget") == redraw(data, 25, 1).subjects("forget")


def test_only_people_with_records_for_both_uses_are_drawn(data: Data) -> None:
    """Whoever has only been scored, or only been learnt from, stays."""
    uses = {"qcora": "score", "qdavid": "score", "qgrete": "fit"}
    records = tuple(r.model_copy(update={"use": uses.get(r.subject or "")}) for r in data.records)
    for seed in range(6):
        drawn = redraw(replace(data, records=records), 25, seed)
        taken = {*drawn.subjects("forget"), *drawn.subjects("few")}
        assert not taken & set(uses)


def test_data_about_nobody_cannot_be_drawn(data: Data) -> None:
    records = tuple(r.model_copy(update={"subject": None}) for r in data.records)
    with pytest.raises(InputError, match="no people .subject. to draw from"):
        redraw(replace(data, records=records), 5, 0)
