"""Growth: the line that is fitted is right, and the whole path runs on a few people."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest


def test_a_straight_line_is_found_without_deviation(scripts: dict[str, ModuleType]) -> None:
    questions = [100, 300, 1000, 3000, 10_000]
    line = scripts["growth"].fit_line(questions, [1.5 + 0.01 * x for x in questions])
    assert line.slope == pytest.approx(0.01)
    assert line.start == pytest.approx(1.5)
    assert line.deviation == pytest.approx(0, abs=1e-9)


def test_time_that_grows_faster_than_the_questions_deviates(
    scripts: dict[str, ModuleType],
) -> None:
    questions = [100, 1000, 10_000]
    assert scripts["growth"].fit_line(questions, [1e-6 * x**2 for x in questions]).deviation > 0.5


def test_one_noisy_point_shows_as_its_distance_whatever_its_size(
    scripts: dict[str, ModuleType],
) -> None:
    questions = [100, 300, 1000, 3000, 10_000]
    for place in range(len(questions)):
        seconds = [0.01 * x for x in questions]
        seconds[place] *= 1.2
        deviation = scripts["growth"].fit_line(questions, seconds).deviation
        assert 0.02 < deviation < 0.2


def test_a_few_people_go_through_the_whole_path(
    scripts: dict[str, ModuleType],
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    growth = scripts["growth"]

    def here(people: int, argv: list[str]) -> dict[str, object]:
        found: dict[str, object] = growth.one(people, str(checkpoint), 1)
        return found

    monkeypatch.setattr(growth, "in_a_process", here)
    out = tmp_path / "growth.json"
    growth.main(["--people", "1,3", "--json", str(out)])
    found = json.loads(out.read_text())
    assert [point["questions"] for point in found["points"]] == [10, 30]
    assert {"slope", "start", "deviation"} == set(found["training"]) == set(found["evaluation"])
    assert found["memory"]["ratio"] > 0
    assert "no point is further than" in capsys.readouterr().out
