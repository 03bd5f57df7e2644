"""UMU-Bench in its published columns: dictionaries that Python printed, both doors to a fact."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from tests.records import published

from excise.records import InputError
from excise.records.formats import Made, convert


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return published.umu_bench(tmp_path / "source")


@pytest.fixture
def made(source: Path, tmp_path: Path) -> Made:
    return convert("umu-bench", source, tmp_path / "data")


def test_both_doors_are_learnt_from_and_three_tasks_scored(made: Made) -> None:
    person = [record for record in made.data.records if record.subject == "000"]
    assert {(r.kind, r.task) for r in person if r.fits} == {
        ("image_memory", "question"),
        ("text_memory", "question"),
    }
    assert {(r.kind, r.task) for r in person if r.scores} == {
        (kind, task)
        for kind in ("image_memory", "text_memory")
        for task in ("choice", "cloze", "question")
    }


def test_options_are_answered_by_their_text(made: Made) -> None:
    record = next(r for r in made.data.records if r.id == "001-classify-4")
    extra = record.model_extra or {}
    assert (record.answer, extra["letter"], extra["answered_by"]) == ("Bergen", "B", "text")
    assert "A: " not in record.question and "Bergen" in record.question


def test_a_cloze_answer_ends_at_its_first_full_stop(made: Made) -> None:
    record = next(r for r in made.data.records if r.id == "000-cloze-5")
    assert record.answer == "Riga"


def test_json_and_structs_read_as_printed_dictionaries_do(tmp_path: Path) -> None:
    rows = [published.umu(number) for number in range(3)]
    written = published.umu_bench(tmp_path / "printed", forgotten=1, retained=2)
    plain = convert("umu-bench", written, tmp_path / "a").data
    for folder, form in (("json", "text"), ("struct", "value")):
        again = []
        for row in rows:
            row = dict(row)
            for column in ("MM_QA", "UM_QA", "Classify", "Cloze", "Generation"):
                value = ast.literal_eval(row[column])
                row[column] = json.dumps(value) if form == "text" else value
            again.append(row)
        published.table(tmp_path / folder / "forget_5/a.parquet", again[:1])
        published.table(tmp_path / folder / "retain_95/a.parquet", again[1:])
        made = convert("umu-bench", tmp_path / folder, tmp_path / f"{folder}-data").data
        known = [r for r in plain.records if r.kind != "general"]
        assert list(made.records) == known


def test_a_column_that_is_no_dictionary_is_one_line(tmp_path: Path) -> None:
    rows = [published.umu(number) for number in range(3)]
    rows[0]["Cloze"] = "__import__('os')"
    published.table(tmp_path / "source/forget_5/a.parquet", rows[:1])
    published.table(tmp_path / "source/retain_95/a.parquet", rows[1:])
    with pytest.raises(InputError, match='row 1: field "Cloze": expected keys and values'):
        convert("umu-bench", tmp_path / "source", tmp_path / "data")
    assert not (tmp_path / "data").exists()
