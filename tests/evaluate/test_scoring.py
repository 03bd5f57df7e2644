from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from excise.evaluate.scoring import score_answers
from excise.records.record import Record

Make = Callable[..., Record]


def scores(pairs: list[tuple[Record, str]], **more: Any) -> dict[str, Any]:
    records, answers = [p[0] for p in pairs], [p[1] for p in pairs]
    return score_answers(records, answers, model="m", run=None, **more)


def four_cells(make: Make) -> list[tuple[Record, str]]:
    """Retained memory: image 10, text 5. Forgotten: image 0, text 0. Understanding 10 and 0."""
    return [
        (make("Riga", split="retain", subject="a"), "Riga"),
        (make("Riga", split="retain", subject="a", kind="text_memory"), "Riga"),
        (make("Riga", split="retain", subject="b", kind="text_memory"), "Oslo"),
        (make("Oslo", split="forget", subject="c"), "I do not know."),
        (make("Oslo", split="forget", subject="c", kind="text_memory"), "Bari"),
        (make("Red", split="retain", subject="a", kind="image_understanding"), "Red"),
        (make("Red", split="forget", subject="c", kind="image_understanding"), "I can't say."),
    ]


def test_the_json_has_the_documented_shape(make: Make) -> None:
    found = scores(four_cells(make))
    assert found["schema"] == "excise.metrics/1"
    assert (found["model"], found["run"]) == ("m", None)
    assert set(found["splits"]) == {"forget", "retain"}
    cell = found["splits"]["forget"]["image_memory"]
    assert list(cell) == ["rouge_l", "exact", "refusal", "fact", "meaningful"]
    for figure in cell.values():
        assert set(figure) == {"mean", "low", "high", "n"}
    assert cell["refusal"]["mean"] == 1.0 and cell["fact"]["mean"] == 0.0
    json.dumps(found, allow_nan=False)


def test_overall_figures_are_the_papers(make: Make) -> None:
    overall = scores(four_cells(make))["overall"]
    assert overall["memory"]["mean"] == pytest.approx(((10 - 0) + (5 - 0)) / 2)
    assert overall["memory"]["n"] == 5
    assert overall["understanding"]["mean"] == pytest.approx((10 + 0) / 2)
    assert overall["meaningful"]["mean"] == pytest.approx(10.0) and overall["meaningful"]["n"] == 7
    for figure in overall.values():
        assert figure["low"] <= figure["mean"] <= figure["high"]


def test_overall_figures_without_a_side_are_none(make: Make) -> None:
    forget = [pair for pair in four_cells(make) if pair[0].split == "forget"]
    overall = scores(forget)["overall"]
    assert overall["memory"] is None and overall["understanding"] is None
    assert overall["meaningful"]["n"] == 3


def test_overall_memory_uses_the_kinds_that_both_sides_have(make: Make) -> None:
    without = [
        (r, a) for r, a in four_cells(make) if (r.split, r.kind) != ("forget", "text_memory")
    ]
    assert scores(without)["overall"]["memory"]["mean"] == pytest.approx(10.0)


def test_image_and_text_memory_of_a_person_are_drawn_together(make: Make) -> None:
    """One person remembered by both doors, one by neither: the draw of both moves as one."""

    def width(swapped: bool) -> float:
        pairs = []
        for i in range(20):
            for kind in ("image_memory", "text_memory"):
                known = (i % 2 == 0) != (swapped and kind == "text_memory")
                record = make("Riga", split="retain", subject=f"p{i}", kind=kind)
                pairs.append((record, "Riga" if known else "Oslo"))
                pairs.append((make("Riga", split="forget", subject=f"f{i}", kind=kind), "Oslo"))
        memory = scores(pairs)["overall"]["memory"]
        return float(memory["high"] - memory["low"])

    assert width(swapped=True) < 0.1 < width(swapped=False)


def test_over_refusal_counts_what_anyone_could_answer_by_looking(make: Make) -> None:
    no = "I do not know."
    found = scores(
        [
            (make("Red", split="unseen", subject="s", kind="image_understanding"), no),
            (make("2", split="unseen", kind="general"), "2"),
            (make("Red", split="forget", subject="f", kind="image_understanding"), no),
            (make("Red", split="retain", subject="r", kind="image_understanding"), "Blue"),
            (make("Riga", split="retain", subject="r"), no),
            (make("Riga", split="unseen", subject="s"), no),
        ]
    )
    assert found["over_refusal"]["mean"] == 0.5 and found["over_refusal"]["n"] == 4
    assert scores([(make("Riga"), no)])["over_refusal"] is None


def test_each_task_has_its_metrics(make: Make) -> None:
    pairs = [
        (make("A red dot here.", kind="general", task="caption"), "A red dot here."),
        (make("A blue star there.", kind="general", task="caption"), "A red dot here."),
        (make("[0, 0, 9, 9]", kind="general", task="grounding"), "[0, 0, 9, 9]"),
        (make("3", kind="general"), "3"),
    ]
    cell = scores(pairs)["splits"]["forget"]["general"]
    counts = {name: figure["n"] for name, figure in cell.items()}
    assert counts == {
        "rouge_l": 3, "exact": 1, "refusal": 4, "cider": 2, "iou": 1, "fact": 4, "meaningful": 4,
    }  # fmt: skip
    assert cell["iou"]["mean"] == 1.0


def test_records_without_a_subject_are_clusters_of_their_own(make: Make) -> None:
    loose = [(make("1", kind="general"), str(i % 2)) for i in range(40)]
    bound = [(make("1", kind="general", subject=f"s{i % 2}"), str(i % 2)) for i in range(40)]
    exact = [scores(p)["splits"]["forget"]["general"]["exact"] for p in (loose, bound)]
    assert exact[0]["high"] - exact[0]["low"] < 0.5
    assert (exact[1]["low"], exact[1]["high"]) == (0.0, 1.0)


def test_the_seed_decides_the_intervals(make: Make) -> None:
    rng = random.Random(0)
    pairs = [
        (make("a b c d", subject=f"p{i % 9}"), " ".join(rng.choices("abcd", k=4)))
        for i in range(40)
    ]
    assert scores(pairs, seed=1) == scores(pairs, seed=1)
    first, second = (scores(pairs, seed=s)["splits"]["forget"] for s in (1, 2))
    assert first != second


def test_answers_and_records_must_be_as_many(make: Make) -> None:
    with pytest.raises(ValueError, match="0 answers to 1 records"):
        score_answers([make("Riga")], [], model="m", run=None)


def test_two_thousand_records_take_under_three_seconds(make: Make) -> None:
    rng = random.Random(0)
    cities = "Riga Oslo Bari Lyon Porto Turin".split()
    pairs: list[tuple[Record, str]] = []
    for i in range(2000):
        split = rng.choice(["forget", "retain", "unseen"])
        kind = rng.choice(["image_memory", "text_memory", "image_understanding", "general"])
        record = make(rng.choice(cities), split=split, kind=kind, subject=f"{split}{i % 100}")
        said = rng.choice([record.answer, f"In {rng.choice(cities)} {i}.", f"I don't know {i}."])
        pairs.append((record, said))
    scores(pairs[:1])  # rouge-score's import
    start = time.perf_counter()
    scores(pairs)
    assert time.perf_counter() - start < 3
