"""The same benchmark from every place that it can lie in, and what is told where it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from pyarrow import parquet
from tests.records import published

from excise.records import InputError
from excise.records.formats import convert


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return published.mllmu_bench(tmp_path / "source")


def saved(source: Path, folder: Path) -> Path:
    """The same subsets as `datasets` saves them, pictures typed as pictures."""
    for subset in ("forget_5", "retain_95", "ft_Data", "Retain_Set"):
        rows = parquet.read_table(source / subset / "train-00000-of-00001.parquet").to_pylist()
        table = datasets.Dataset.from_list(rows).cast_column("image", datasets.Image())
        table.save_to_disk(str(folder / subset))
    return folder


def test_folders_that_datasets_saved_read_as_parquet_does(source: Path, tmp_path: Path) -> None:
    plain = convert("mllmu-bench", source, tmp_path / "a").data
    again = convert("mllmu-bench", saved(source, tmp_path / "saved"), tmp_path / "b").data
    assert again.records == plain.records


def test_json_files_of_the_subsets_names_read_too(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "pictures").mkdir(parents=True)
    rows = []
    for number in range(4):
        (source / f"pictures/{number}.png").write_bytes(published.picture(number))
        rows.append({**published.mllmu(number), "image": f"pictures/{number}.png"})
    (source / "forget_5.json").write_text(json.dumps(rows[:1]))
    (source / "retain_95.jsonl").write_text("\n".join(json.dumps(row) for row in rows[1:]))
    data = convert("MLLMU_Bench", source, tmp_path / "data").data
    assert data.subjects("forget") == ["000"]


def test_an_id_on_the_hub_is_loaded_a_configuration_a_subset(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = convert("mllmu-bench", source, tmp_path / "a").data
    folder = saved(source, tmp_path / "saved")
    asked: list[tuple[str, str]] = []

    def load_dataset(name: str, subset: str) -> datasets.DatasetDict:  # there is no network here
        asked.append((name, subset))
        part = datasets.load_from_disk(str(folder / subset))
        return datasets.DatasetDict(train=part)

    names = [path.name for path in folder.iterdir()]
    monkeypatch.setattr(datasets, "get_dataset_config_names", lambda name: names)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    again = convert("mllmu-bench", "MLLMMU/MLLMU-Bench", tmp_path / "b").data
    assert again.records == plain.records
    assert ("MLLMMU/MLLMU-Bench", "forget_5") in asked


def fails(change: Callable[[Path], Any], source: Path, tmp_path: Path, **options: Any) -> str:
    """The line that is shown when `change` was done to the source; nothing may be left behind."""
    change(source)
    with pytest.raises(InputError) as caught:
        convert(options.pop("format", "mllmu-bench"), source, tmp_path / "data", **options)
    line = str(caught.value)
    assert len(line.splitlines()) == 1
    assert not (tmp_path / "data").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]
    return line


def renamed(source: Path) -> None:
    path = source / "forget_5/train-00000-of-00001.parquet"
    rows = parquet.read_table(path).to_pylist()
    published.table(
        path,
        [{("Mask_Tasks" if k == "Mask_Task" else k): v for k, v in row.items()} for row in rows],
    )


def test_a_wrong_column_is_told_with_those_found_and_the_nearest(
    source: Path, tmp_path: Path
) -> None:
    line = fails(renamed, source, tmp_path)
    assert 'forget_5/train-00000-of-00001.parquet: row 1: field "Mask_Task": missing' in line
    assert "found image, ID, biography" in line
    assert line.endswith('did you mean "Mask_Tasks"?')


def test_an_unreadable_table_is_told(source: Path, tmp_path: Path) -> None:
    def broken(source: Path) -> None:
        (source / "retain_95/train-00000-of-00001.parquet").write_bytes(b"PAR1 and no more")

    assert "retain_95" in (line := fails(broken, source, tmp_path)) and "parquet file" in line


def test_a_truncated_picture_is_told_where_it_stands(source: Path, tmp_path: Path) -> None:
    def cut(source: Path) -> None:
        rows = [published.mllmu(0), published.mllmu(1)]
        whole = published.picture(1, "JPEG")
        rows[1]["image"] = {"bytes": whole[: len(whole) // 2], "path": None}
        published.table(source / "forget_5/train-00000-of-00001.parquet", rows)

    line = fails(cut, source, tmp_path)
    assert 'row 2: field "image": is truncated' in line


def test_a_share_that_is_not_published_is_told(source: Path, tmp_path: Path) -> None:
    line = fails(lambda _: None, source, tmp_path, forget=7)
    assert line.startswith("--forget 7: mllmu-bench publishes 5, 10, 15")


def test_a_share_that_was_not_downloaded_is_told(source: Path, tmp_path: Path) -> None:
    line = fails(lambda _: None, source, tmp_path, forget=15)
    assert "no forget_15, expected a folder or file of that name; found " in line


def test_an_empty_forget_set_leaves_nobody(source: Path, tmp_path: Path) -> None:
    def empty(source: Path) -> None:
        path = source / "forget_5/train-00000-of-00001.parquet"
        parquet.write_table(parquet.read_table(path).slice(0, 0), path)

    assert "no people to forget are left" in fails(empty, source, tmp_path)


def test_more_few_than_there_are_retained_is_told(source: Path, tmp_path: Path) -> None:
    line = fails(lambda _: None, source, tmp_path, few=9)
    assert "--few 9 and --unseen 0: 6 people are retained" in line


def test_an_answer_that_is_no_option_is_told_without_saying_it(
    source: Path, tmp_path: Path
) -> None:
    def wrong(source: Path) -> None:
        rows = [published.mllmu(0)]
        rows[0]["Classification_Task"]["Pure_Text_Questions"][0]["Correct_Answer"] = "Secretville"
        published.table(source / "forget_5/train-00000-of-00001.parquet", rows)

    line = fails(wrong, source, tmp_path)
    assert "the right answer is none of the options A, B, C, D" in line
    assert "Secretville" not in line


def test_an_unknown_format_is_told_with_the_nearest(source: Path, tmp_path: Path) -> None:
    line = fails(lambda _: None, source, tmp_path, format="mlmu-bench")
    assert line == '--format: unknown format "mlmu-bench"; did you mean "mllmu-bench"?'


def test_a_path_that_is_nowhere_is_told(tmp_path: Path) -> None:
    line = fails(lambda _: None, tmp_path / "nowhere", tmp_path)
    assert "nowhere: no such file or folder" in line


def test_people_both_forgotten_and_retained_are_counted_not_named(
    source: Path, tmp_path: Path
) -> None:
    def twice(source: Path) -> None:
        rows = [published.mllmu(number) for number in range(1, 8)]  # 1 is forgotten
        published.table(source / "retain_95/train-00000-of-00001.parquet", rows)

    line = fails(twice, source, tmp_path)
    assert line.endswith("1 people are both forgotten and retained, expected each in one subset")
