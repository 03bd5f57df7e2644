from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from excise.evaluate import METRICS, metric, score_answers
from excise.records.record import Record


@pytest.fixture
def length_metric() -> Iterator[str]:
    @metric("length", tasks={"question"})
    def length(record: Record, answer: str) -> float:
        return float(len(answer))

    yield "length"
    del METRICS["length"]


def test_a_new_metric_is_one_decorated_function(
    length_metric: str, make: Callable[..., Record]
) -> None:
    records = [make("Riga"), make("A red dot.", kind="general", task="caption")]
    cells = score_answers(records, ["Oslo!", "A dot."], model="m", run=None)["splits"]["forget"]
    assert cells["image_memory"][length_metric]["mean"] == 5
    assert length_metric not in cells["general"]


def test_a_name_can_be_taken_once() -> None:
    with pytest.raises(ValueError, match='"exact" is registered already'):
        metric("exact")(lambda record, answer: 0.0)


def test_every_metric_says_where_it_comes_from() -> None:
    assert all(m.reference for m in METRICS.values())
