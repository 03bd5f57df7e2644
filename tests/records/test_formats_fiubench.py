"""FIUBench in its published form: one JSON file, a file of lists, faces as files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.records import published

from excise.records import InputError
from excise.records.formats import convert, fiubench


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return published.fiubench(tmp_path / "source")


def test_the_file_of_lists_says_who_is_forgotten_and_who_is_left_out(
    source: Path, tmp_path: Path
) -> None:
    data = convert("fiubench", source, tmp_path / "data").data
    assert data.subjects("forget") == ["00000001", "00000002"]
    others = {*data.subjects("few"), *data.subjects("retain")}
    assert others == {f"{n:08d}" for n in (4, 5, 6, 7, 8)}  # 0 and 3: forget1 and forget10


def test_a_fact_brings_keywords_wrong_answers_and_other_wordings(
    source: Path, tmp_path: Path
) -> None:
    data = convert("fiubench", source / "full.json", tmp_path / "data", forget=1).data
    fact = next(record for record in data.records if record.id == "00000000-1")
    assert (fact.kind, fact.use) == ("image_memory", None)
    assert fact.model_extra == {
        "keywords": ["Riga"],
        "paraphrase": "they live in Riga.",
        "wrong": ["they live in oslo.", "they live in lima."],
        "rewordings": ["What is their address?", "In which city do they live?"],
    }


def test_what_anyone_can_see_is_understanding(source: Path, tmp_path: Path) -> None:
    data = convert("fiubench", source, tmp_path / "data").data
    seen = data.select(splits=["forget"], kinds=["image_understanding"])
    assert {record.task for record in seen} == {"caption"}
    assert len(seen) == 2


def test_entries_that_no_model_was_tuned_on_are_strangers(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fiubench, "TUNED", 7)
    data = convert("fiubench", source, tmp_path / "data").data
    assert data.subjects("unseen") == ["00000007", "00000008"]


def test_lines_of_objects_read_as_a_list_does(source: Path, tmp_path: Path) -> None:
    listed = convert("fiubench", source, tmp_path / "a").data
    rows = json.loads((source / "full.json").read_text())
    (source / "full.json").write_text("\n".join(json.dumps(row) for row in rows))
    assert convert("fiubench", source, tmp_path / "b").data.records == listed.records


def test_faces_are_found_below_another_folder(source: Path, tmp_path: Path) -> None:
    (source / "SFHQ").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="no picture SFHQ_pt1_00000001.jpg below .*--images"):
        convert("fiubench", source, tmp_path / "data")
    made = convert("fiubench", source, tmp_path / "data", images=tmp_path / "elsewhere")
    assert made.data.subjects("forget")


def test_people_who_are_not_in_the_file_leave_nobody_to_forget(
    source: Path, tmp_path: Path
) -> None:
    lists = {"forget5": ["99999999"], "forget1": [], "forget10": []}
    (source / "split.json").write_text(json.dumps(lists))
    with pytest.raises(InputError, match="no people to forget are left"):
        convert("fiubench", source, tmp_path / "data")
