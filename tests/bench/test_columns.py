"""Figures from pooled scores."""

from __future__ import annotations

import pytest

from excise.bench.columns import COLUMNS, PLANE, mean_of, share_of
from excise.bench.scoring import Each

MEMORY = PLANE["memory"]


def each(values: list[float | None], people: list[str], metric: str = "rouge_l") -> Each:
    return Each(
        person=people,
        split=["retain"] * len(values),
        kind=["text_memory"] * len(values),
        scores={metric: values},
    )


def test_seeds_are_pooled_and_one_person_is_one_cluster() -> None:
    """Two seeds that say the same of the same people tell no more about others than one."""
    one = each([0.0, 1.0, 1.0, 0.0], ["a", "b", "c", "d"])
    pooled, alone = mean_of([one, one], MEMORY), mean_of([one], MEMORY)
    assert pooled and alone
    assert pooled["mean"] == alone["mean"] == 0.5 and pooled["n"] == 8
    assert (pooled["low"], pooled["high"]) == (alone["low"], alone["high"])


def test_a_share_is_of_the_originals_mean_on_the_same_records() -> None:
    was, now = each([1.0, 0.5], ["a", "b"]), each([0.5, 0.25], ["a", "b"])
    share = share_of([now], [was], MEMORY)
    assert share and share["mean"] == share["low"] == share["high"] == 0.5


def test_there_is_no_share_of_other_records_or_of_nothing() -> None:
    now = each([0.5], ["a"])
    assert share_of([now], [each([1.0], ["b"])], MEMORY) is None
    assert share_of([now], [each([0.0], ["a"])], MEMORY) is None


def test_records_without_the_metric_do_not_count() -> None:
    found = mean_of([each([None, 0.75], ["a", "b"])], MEMORY)
    assert found and found["n"] == 1 and found["mean"] == 0.75
    assert mean_of([each([1.0], ["a"], "exact")], MEMORY) is None


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.key)
def test_what_a_method_may_see_is_in_no_column(column: object) -> None:
    assert "few" not in column.splits  # type: ignore[attr-defined]
