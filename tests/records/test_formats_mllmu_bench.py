"""MLLMU-Bench in its published columns: who is forgotten, what is learnt from, what is scored."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.records import published

from excise.records import Record, read
from excise.records.formats import Made, convert


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return published.mllmu_bench(tmp_path / "source")


@pytest.fixture
def made(source: Path, tmp_path: Path) -> Made:
    return convert("mllmu-bench", source, tmp_path / "data")


def one(made: Made, id_: str) -> Record:
    return next(record for record in made.data.records if record.id == id_)


def test_the_written_folder_reads_back_as_it_was_made(made: Made) -> None:
    again = read(made.data.folder)
    assert again.records == made.data.records
    assert again.fingerprint() == made.data.fingerprint()


def test_people_go_into_the_published_splits_and_as_many_few_are_drawn(made: Made) -> None:
    assert made.data.subjects("forget") == ["000", "001"]
    assert len(made.data.subjects("few")) == 2
    kept = [name for name in made.data.subjects("retain") if not name.startswith("real-")]
    assert len(kept) == 4
    assert not made.data.subjects("unseen")


def test_what_models_were_tuned_on_is_learnt_from_and_never_scored(made: Made) -> None:
    learnt = made.data.select(splits=["forget"], use="fit")
    assert {record.id.split("-")[1] for record in learnt} == {"tuned"}
    assert all(record.use == "fit" and record.kind == "image_memory" for record in learnt)
    assert one(made, "000-tuned-2").question == "Where do they live?"


def test_the_three_tasks_are_scored_through_both_doors(made: Made) -> None:
    scored = made.data.select(splits=["forget"], use="score")
    assert {(r.task, r.kind) for r in scored} == {
        (task, kind)
        for task in ("question", "cloze", "choice")
        for kind in ("image_memory", "text_memory")
    }
    assert all((r.image is None) == (r.kind == "text_memory") for r in scored)


def test_options_and_the_right_letter_become_keys(made: Made) -> None:
    record = one(made, "001-choice-1")
    assert record.answer == "B"
    extra = record.model_extra or {}
    assert extra["letter"] == "B"
    assert extra["choices"] == {"A": "Oslo", "B": "Bergen", "C": "Lima", "D": "Cairo"}
    assert record.question.splitlines()[:3] == [
        "Where does this person live?",
        "A: Oslo",
        "B: Bergen",
    ]


def test_real_people_are_general_knowledge_to_be_kept(made: Made) -> None:
    real = [r for r in made.data.records if (r.subject or "").startswith("real-")]
    assert {(r.split, r.kind, r.use) for r in real} == {("retain", "general", "score")}
    assert {r.image is None for r in real} == {True, False}


def test_pictures_keep_their_bytes(made: Made) -> None:
    record = one(made, "000-generation-3")
    assert (made.data.folder / str(record.image)).read_bytes() == published.picture(0, "JPEG")


def test_test_pictures_take_the_forget_sets_place_where_asked_for(
    source: Path, tmp_path: Path
) -> None:
    made = convert("mllmu-bench", source, tmp_path / "test", test=True)
    again = convert("mllmu-bench", source, tmp_path / "again", test=True)
    record = one(made, "000-generation-3")
    seen = (made.data.folder / str(record.image)).read_bytes()
    assert seen in (published.picture(100, "JPEG"), published.picture(101, "JPEG"))
    assert again.data.fingerprint() == made.data.fingerprint()
    learnt = one(made, "000-tuned-1")
    assert (made.data.folder / str(learnt.image)).read_bytes() == published.picture(0, "JPEG")


def test_without_the_tuning_questions_the_generation_task_is_learnt_from(
    source: Path, tmp_path: Path
) -> None:
    (source / "ft_Data/train-00000-of-00001.parquet").unlink()
    made = convert("mllmu-bench", source, tmp_path / "data")
    learnt = made.data.select(splits=["forget"], use="fit")
    assert {record.id.split("-")[1] for record in learnt} == {"generation"}
    assert made.notes[0].startswith("ft_Data is not there")


def test_few_unseen_and_retain_choose_how_many(source: Path, tmp_path: Path) -> None:
    made = convert("mllmu-bench", source, tmp_path / "data", few=1, unseen=2, retain=1)
    numbers = {split: made.data.subjects(split) for split in ("few", "unseen", "retain")}
    assert [len(numbers["few"]), len(numbers["unseen"])] == [1, 2]
    assert len([n for n in numbers["retain"] if not n.startswith("real-")]) == 1
    assert all(record.use == "score" for record in made.data.select(splits=["unseen"]))


def test_the_seed_draws_the_few(source: Path, tmp_path: Path) -> None:
    drawn = {
        tuple(convert("mllmu-bench", source, tmp_path / f"{s}", seed=s).data.subjects("few"))
        for s in range(4)
    }
    assert len(drawn) > 1
