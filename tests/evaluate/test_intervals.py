from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from excise.evaluate.intervals import Clusters, interval


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from("abcdef")), min_size=1, max_size=30))
@settings(max_examples=50, deadline=None)
def test_the_mean_lies_in_its_interval_and_that_among_the_values(
    rows: list[tuple[float, str]],
) -> None:
    values, people = [r[0] for r in rows], [r[1] for r in rows]
    found = interval(values, people, resamples=100)
    assert found["mean"] == pytest.approx(np.mean(values)) and found["n"] == len(values)
    assert min(values) - 1e-9 <= found["low"] <= found["mean"] <= found["high"]
    assert found["high"] <= max(values) + 1e-9


def test_it_equals_drawing_people_one_by_one() -> None:
    rng = np.random.default_rng(0)
    values = rng.random(60)
    index = rng.integers(0, 12, 60)
    resampled = Clusters([str(i) for i in index], seed=3).means(values)
    slow = []
    for _ in range(1000):
        drawn = rng.integers(0, 12, 12)
        slow.append(np.concatenate([values[index == person] for person in drawn]).mean())
    assert resampled.mean() == pytest.approx(np.mean(slow), abs=0.005)
    assert resampled.std() == pytest.approx(np.std(slow), rel=0.1)


def test_ten_questions_about_one_person_are_not_ten_observations() -> None:
    values = [float(i < 10) for i in range(20) for _ in range(10)]
    people = [f"p{i}" for i in range(20) for _ in range(10)]
    clustered = interval(values, people)
    apart = interval(values, [str(i) for i in range(200)])
    ratio = (clustered["high"] - clustered["low"]) / (apart["high"] - apart["low"])
    assert 2.5 < ratio < 4  # the root of ten


def test_about_95_percent_of_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for seed in range(200):
        people = [str(i) for i in range(40) for _ in range(3)]
        values = np.repeat(rng.normal(0.5, 0.2, 40), 3) + rng.normal(0, 0.1, 120)
        found = interval(values.tolist(), people, seed=seed, resamples=300)
        covered.append(found["low"] <= 0.5 <= found["high"])
    assert 0.89 <= np.mean(covered) <= 0.99


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    values, people = [0.1, 0.5, 0.9, 0.3], ["a", "b", "c", "d"]
    assert interval(values, people, seed=1) == interval(values, people, seed=1)
    draws = [Clusters(people, seed=seed).means(values).tolist() for seed in (1, 2)]
    assert draws[0] != draws[1]


def test_a_single_person_is_resampled_by_record() -> None:
    found = interval([0.0, 1.0] * 10, ["a"] * 20)
    assert found["low"] < 0.5 < found["high"]


def test_a_large_draw_stays_within_its_blocks() -> None:
    start = time.perf_counter()
    found = interval([float(i % 2) for i in range(20_000)], [str(i) for i in range(20_000)])
    assert 0.48 < found["low"] < 0.5 < found["high"] < 0.52
    assert time.perf_counter() - start < 5


def test_nothing_to_average_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 values"):
        interval([], [])
