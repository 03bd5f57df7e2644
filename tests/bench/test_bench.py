"""A bench from end to end on a miniature: what comes out, and what is not done again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.bench.conftest import PRIVATE, QUICK, Bench

from excise.bench import work as work_of_a_cell
from excise.bench.columns import COLUMNS

Finished = tuple[Path, dict[str, Any]]


def stamps(folder: Path) -> dict[str, int]:
    """When each cell and each run was last written to."""
    files = [*(folder / "cells").glob("*"), *(folder / "runs").glob("*/run.json")]
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in files}


def test_the_table_has_a_row_a_method_and_figures_of_all_seeds(finished: Finished) -> None:
    out, table = finished
    (block,) = table["tables"]
    rows = {row["key"]: row for row in block["rows"]}
    assert set(rows) == {"original", "refusal", "smfa"} and not block["failed"]
    assert [row["seeds"] for row in rows.values()] == [[0, 1]] * 3
    figures = rows["smfa"]["figures"]
    assert set(figures) == {column.key for column in COLUMNS}
    assert figures["forget_image"]["n"] == 8  # two seeds of two people with two questions each
    assert 0 < figures["forget_probability"]["mean"] < 1
    assert json.loads((out / "bench.json").read_text())["schema"] == "excise.bench/1"
    assert "| smfa | " in (out / "bench.md").read_text()


def test_time_steps_memory_and_settings_of_a_method_are_in_its_row(finished: Finished) -> None:
    rows = {row["key"]: row for row in finished[1]["tables"][0]["rows"]}
    assert rows["refusal"]["steps"]["mean"] == 2 and rows["smfa"]["steps"]["mean"] == 4
    assert rows["refusal"]["seconds"]["mean"] > 0 and rows["refusal"]["peak_memory_mib"]["low"] > 50
    assert 0 < rows["refusal"]["share_touched"]["mean"] < 1
    assert set(rows["smfa"]["chosen"]) == {"0", "1"}
    assert rows["original"]["seconds"] is None


def test_only_a_method_with_a_dial_has_a_curve(finished: Finished) -> None:
    rows = {row["key"]: row for row in finished[1]["tables"][0]["rows"]}
    assert rows["refusal"]["curve"] is None
    curve = rows["smfa"]["curve"]
    assert curve["name"] == "k" and [point["at"] for point in curve["points"]] == [0, 2, 8]


def test_nothing_private_and_no_absolute_path_is_written(
    finished: Finished, checkpoint: Path
) -> None:
    out, _ = finished
    for path in out.rglob("*"):
        if path.is_file() and path.suffix in (".json", ".md", ".jsonl"):
            text = path.read_text().lower()
            assert not [word for word in PRIVATE if word in text], path.name
            assert str(checkpoint.parent) not in text and str(out.parent) not in text
    assert not (out / "pictures").exists()


def test_a_finished_bench_is_not_run_again(
    finished: Finished, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, table = finished
    before = stamps(out)
    monkeypatch.setattr(work_of_a_cell, "load", None)  # nobody may load the model
    again = bench(out, methods=["refusal", "smfa"], options=QUICK | {"k": "2"}, seeds=2)
    assert again["tables"] == table["tables"]
    assert stamps(out) == before


def test_a_larger_bench_runs_only_what_is_new(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "bench"
    bench(out, methods=["refusal"])
    before = stamps(out)
    table = bench(out, methods=["refusal", "gradient_ascent"], seeds=2)
    after = stamps(out)
    assert before.items() <= after.items()
    made = {name.split("/")[1][:-16] for name in after if name.startswith("cells")}
    assert made == {"original", "refusal-given-0", "refusal-given-1",
                    "gradient_ascent-given-0", "gradient_ascent-given-1"}  # fmt: skip
    assert table["tables"][0]["rows"][0]["key"] == "original"


def test_an_interrupted_bench_goes_on_where_it_was(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "bench"

    def interrupt(line: str) -> None:
        if "refusal" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench(out, say=interrupt)
    before = stamps(out)
    assert len(before) == 3  # the original, and refusal's cell and run
    table = bench(out)
    assert before.items() <= stamps(out).items() and len(stamps(out)) == 5
    assert len(table["tables"][0]["rows"]) == 3


def test_an_interrupted_search_keeps_its_finished_trials(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget, calls = work_of_a_cell.forget, []

    def counted(*given: Any, **named: Any) -> Any:
        calls.append(named["out"].name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return forget(*given, **named)

    monkeypatch.setattr(work_of_a_cell, "forget", counted)
    with pytest.raises(KeyboardInterrupt):
        bench(tmp_path / "bench", methods=["refusal"], budget=2)
    bench(tmp_path / "bench", methods=["refusal"], budget=2)
    assert calls[:3] == ["0", "1", "1"] and calls[3].startswith("refusal-given-0-")


def test_a_method_that_fails_is_in_the_table_and_stops_nobody_else(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget = work_of_a_cell.forget

    def failing(*given: Any, **named: Any) -> Any:
        if named["method"].name == "refusal":
            raise ZeroDivisionError("ztown-of-qvera")
        return forget(*given, **named)

    monkeypatch.setattr(work_of_a_cell, "forget", failing)
    (block,) = bench(tmp_path / "bench")["tables"]
    assert [row["key"] for row in block["rows"]] == ["original", "gradient_ascent"]
    (failed,) = block["failed"]
    assert failed["label"] == "refusal, as given, seed 0"
    assert failed["why"].startswith("unexpected ZeroDivisionError")


def test_a_trial_that_fails_is_a_result(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget = work_of_a_cell.forget

    def failing(*given: Any, **named: Any) -> Any:
        if named["out"].name == "0":
            raise ZeroDivisionError
        return forget(*given, **named)

    monkeypatch.setattr(work_of_a_cell, "forget", failing)
    bench(tmp_path / "bench", methods=["refusal"], budget=2)
    (path,) = (tmp_path / "bench" / "cells").glob("refusal-*.json")
    first, second = json.loads(path.read_text())["trials"]
    assert first["score"] is None and "ZeroDivisionError" in first["failed"]
    assert second["score"] is not None


def test_settings_of_the_first_seed_can_serve_all(bench: Bench, tmp_path: Path) -> None:
    out = tmp_path / "bench"
    bench(out, methods=["refusal"], seeds=2, budget=2, search="first")
    cells = {
        path.name[:15]: json.loads(path.read_text()) for path in (out / "cells").glob("refusal-*")
    }
    first, second = cells["refusal-given-0"], cells["refusal-given-1"]
    assert [set(trial["options"]) for trial in first["trials"]] == [{"lr"}, {"lr"}]
    assert all(0 <= trial["score"] <= 1 and trial["steps"] == 2 for trial in first["trials"])
    assert second["what"]["trials"] == [first["what"]["trials"][first["chosen"]]]
    assert not second["trials"] and second["options"] == first["options"]
    assert not any((out / "trials").iterdir())


def test_each_ratio_has_a_table_of_its_own(bench: Bench, tmp_path: Path) -> None:
    table = bench(tmp_path / "bench", methods=["refusal"], ratios=[12, 25])
    assert [block["title"] for block in table["tables"]] == ["12 % forgotten", "25 % forgotten"]
    rows = [block["rows"][0] for block in table["tables"]]
    assert [row["figures"]["forget_image"]["n"] for row in rows] == [2, 4]  # 1 and 2 of 8 people


def test_clear_text_asks_again_but_trains_nothing_again(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "bench"
    assert bench(out, methods=["refusal"], budget=2)["samples"] == []
    runs = {k: v for k, v in stamps(out).items() if k.startswith("runs")}
    monkeypatch.setattr(work_of_a_cell, "_try", None)
    samples = bench(out, methods=["refusal"], budget=2, cleartext=True)["samples"]
    assert {sample["who"] for sample in samples} == {"forgotten", "retained", "unseen"}
    assert all(set(sample["answers"]) == {"original", "refusal"} for sample in samples)
    assert (out / samples[0]["image"]).is_file()
    assert runs.items() <= stamps(out).items()


def test_a_reference_is_scored_beside_the_others(
    bench: Bench, tmp_path: Path, checkpoint: Path
) -> None:
    table = bench(tmp_path / "bench", methods=["refusal"], seeds=2, reference=str(checkpoint))
    original, reference, _ = table["tables"][0]["rows"]
    assert reference["key"] == "reference" and reference["seeds"] == [0, 1]
    assert reference["figures"] == original["figures"]  # it is the same checkpoint here


def test_a_process_of_its_own_makes_the_same_cell(
    finished: Finished, bench: Bench, tmp_path: Path
) -> None:
    lines: list[str] = []
    bench(tmp_path / "bench", methods=["refusal"], jobs=2, say=lines.append)
    assert {line.partition("]")[0] for line in lines} == {"[1/2", "[2/2"}
    here, there = (
        json.loads(next((out / "cells").glob("refusal-given-0-*")).read_text())
        for out in (finished[0], tmp_path / "bench")
    )
    assert here["key"] == there["key"] and here["each"] == there["each"]
    assert there["peak_memory_mib"] > 0
