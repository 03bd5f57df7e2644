"""CLEAR in its published columns: captions, names, TOFU's questions, truth ratio data."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.records import published

from excise.records.formats import Made, convert


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return published.clear(tmp_path / "source")


@pytest.fixture
def made(source: Path, tmp_path: Path) -> Made:
    return convert("clear", source, tmp_path / "data")


def test_authors_are_the_people_and_ids_do_not_name_them(made: Made) -> None:
    assert made.data.subjects("forget") == ["Ada Norberg", "Ben Okafor"]
    assert not any("Norberg" in record.id for record in made.data.records)


def test_a_portrait_is_captioned_and_named(made: Made) -> None:
    records = {r.id: r for r in made.data.records if r.subject == "Ada Norberg" and r.image}
    caption, name = records["forget05-1-caption"], records["forget05-1-name"]
    assert (caption.task, caption.use) == ("caption", None)
    assert (name.task, name.answer, name.use) == ("question", "Ada Norberg", "score")


def test_perturbed_captions_and_names_are_the_truth_ratios_keys(made: Made) -> None:
    by_id = {record.id: record.model_extra or {} for record in made.data.records}
    assert by_id["forget05-1-caption"] == {
        "paraphrase": "By a window sits Ada Norberg.",
        "wrong": ["Ada Norberg runs.", "Ada Norberg sleeps."],
    }
    assert by_id["forget05-1-name"] == {"wrong": ["Otto Vale", "Uma Reyes"]}
    assert by_id["forget05-2-caption"] == {}  # the published set has not all of them


def test_questions_without_a_picture_go_to_whom_they_name(made: Made) -> None:
    told = [r for r in made.data.records if r.kind == "text_memory" and r.split == "forget"]
    owners = [(record.question[:9], record.subject) for record in told]
    assert owners.count(("Where was", "Ada Norberg")) == 1
    assert owners.count(("Who write", "Ada Norberg")) == 1  # by the surname in the answer
    assert owners.count(("Which pri", None)) == 2
    assert "forget05+tofu: 2 questions name nobody, and have no subject" in made.notes


def test_real_faces_and_things_are_general(made: Made) -> None:
    general = {record.id: record for record in made.data.select(kinds=["general"])}
    assert set(general) == {"real_faces-1", "real_world-1"}
    assert (general["real_faces-1"].model_extra or {})["wrong"] == ["Ada King"]
    assert general["real_world-1"].question == "What is on the table?"


def test_one_percent_is_published_too_and_optional_subsets_are_missed_aloud(tmp_path: Path) -> None:
    rows = [published.caption(author, n) for n, author in enumerate(published.AUTHORS)]
    published.table(tmp_path / "source/forget01/a.parquet", rows[:1])
    # In two files, as the published one is: numbers begin anew, ids must not.
    published.table(tmp_path / "source/retain99/train-00000-of-00002.parquet", rows[1:4])
    published.table(tmp_path / "source/retain99/train-00001-of-00002.parquet", rows[4:])
    made = convert("clear", tmp_path / "source", tmp_path / "data", forget="1%")
    assert len(made.data.subjects("retain")) == 4
    assert any("forget01+tofu is not there" in note for note in made.notes)
