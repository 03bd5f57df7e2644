"""UnLOK-VQA in its published form: one list of entries, pictures by COCO number."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.records import published

from excise.records import InputError
from excise.records.formats import convert


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return published.unlok_vqa(tmp_path / "source")


def test_one_entry_is_forgotten_and_its_neighbours_are_to_stay(
    source: Path, tmp_path: Path
) -> None:
    data = convert("unlok-vqa", source, tmp_path / "data", forget=3).data
    forgotten = data.select(splits=["forget"])
    assert [record.kind for record in forgotten] == ["image_memory"] + 2 * ["image_understanding"]
    assert forgotten[0].model_extra == {
        "rewordings": ["What breed is the dog?", "The dog is of which breed?"]
    }
    assert forgotten[1].question == "Is this a dog?"
    assert len({record.image for record in forgotten}) == 1
    assert data.subjects("forget") == ["entry-3"]


def test_pictures_are_found_under_each_of_cocos_names(source: Path, tmp_path: Path) -> None:
    data = convert("unlok-vqa", source, tmp_path / "data").data
    for number in range(4):
        record = next(r for r in data.records if r.id == f"{number + 1}-asked")
        content = (data.folder / str(record.image)).read_bytes()
        assert content == published.picture(number, "JPEG")


def test_several_entries_may_be_forgotten_at_once(source: Path, tmp_path: Path) -> None:
    data = convert("unlok-vqa", source / "unlok.json", tmp_path / "data", forget="1, 4").data
    assert data.subjects("forget") == ["entry-1", "entry-4"]


def test_an_id_that_no_entry_has_is_one_line(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--forget 10: no entry has that id.*no share"):
        convert("unlok-vqa", source, tmp_path / "data", forget="10")
