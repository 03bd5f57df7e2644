"""Written whole or not at all: full disks, missing permission and interruptions leave nothing."""

from __future__ import annotations

import errno
import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from excise.records import (
    InputError,
    Record,
    new_folder,
    read,
    write_data,
    write_json,
    write_text,
)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A limit that the kernel enforces in the middle of a write, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def left_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def failing(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def test_data_comes_back_as_it_was_written(tmp_path: Path) -> None:
    records = [
        Record.model_validate(
            {
                "id": "a",
                "subject": "p",
                "split": "forget",
                "kind": "image_memory",
                "image": "images/deep/a.png",
                "question": "Wo?\u2028\n",
                "answer": "Rīga 🙂",
                "task": "caption",
                "use": "fit",
                "note": {"list": [1, None, "x"]},
                "scores": 3,
                "copy": "me",
            }
        ),
        Record(id="b", split="few", kind="general", question="q", answer="a"),
    ]
    picture = Image.radial_gradient("L").resize((20, 30)).convert("RGB")
    write_data(tmp_path / "new/data", records, {"images/deep/a.png": picture})
    data = read(tmp_path / "new/data")
    assert list(data.records) == records
    assert data.records[0].model_extra == {
        "note": {"list": [1, None, "x"]},
        "scores": 3,
        "copy": "me",
    }
    back = data.picture(data.records[0])
    assert back is not None and back.tobytes() == picture.tobytes()
    lines = (tmp_path / "new/data/records.jsonl").read_text(encoding="utf-8").split("\n")
    assert "task" not in json.loads(lines[1])


text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | text, lambda inner: st.lists(inner), max_leaves=4
)


@settings(max_examples=30, deadline=None)
@given(question=text, answer=text, extra=st.dictionaries(text.map("x-{}".format), anything))
def test_any_text_and_any_unknown_key_survives(
    tmp_path_factory: pytest.TempPathFactory, question: str, answer: str, extra: dict[str, object]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    content = {"id": "a", "split": "forget", "kind": "text_memory", **extra}
    record = Record.model_validate({**content, "question": question, "answer": answer})
    write_data(folder, [record], {})
    assert read(folder).records == (record,)


def test_a_missing_picture_leaves_no_folder(tmp_path: Path) -> None:
    record = Record(
        id="a", split="few", kind="image_memory", image="a.png", question="q", answer="a"
    )
    with pytest.raises(InputError, match=r'data/a.png: picture of record "a" is missing'):
        write_data(tmp_path / "data", [record], {})
    with pytest.raises(InputError, match=r'suffix ".txt" is no picture format'):
        write_data(
            tmp_path / "data",
            [record.model_copy(update={"image": "a.txt"})],
            {"a.txt": Image.new("RGB", (9, 9))},
        )
    assert left_in(tmp_path) == []


def test_json_is_strict_and_replaces_what_was_there(tmp_path: Path) -> None:
    write_json(tmp_path / "sub/x.json", {"old": 1})
    write_json(tmp_path / "sub/x.json", {"a": [float("nan"), (1, float("inf"))], "b": "ī"})
    shown = (tmp_path / "sub/x.json").read_text(encoding="utf-8")
    assert json.loads(shown) == {"a": [None, [1, None]], "b": "ī"}
    assert "ī" in shown and left_in(tmp_path / "sub") == ["x.json"]


def test_a_write_cut_short_keeps_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "x.txt", "old")
    with pytest.raises(InputError, match=r"x\.txt: the file would be larger"), largest_file(4096):
        write_text(tmp_path / "x.txt", "new" * 10_000)
    assert (tmp_path / "x.txt").read_text() == "old"
    assert left_in(tmp_path) == ["x.txt"]


def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise failing(errno.ENOSPC)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"x\.json: the disk is full"):
        write_json(tmp_path / "x.json", {})
    with pytest.raises(InputError) as caught:
        write_data(tmp_path / "data", [], {})
    assert str(caught.value).startswith(f"{tmp_path / 'data'}{os.sep}records.jsonl: the disk")
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [failing(errno.ENOSPC), RuntimeError("write: No space left on device (os error 28)")],
)
def test_a_disk_that_fills_up_inside_a_folder_leaves_nothing(
    tmp_path: Path, error: Exception
) -> None:
    with (
        pytest.raises(InputError, match="run: the disk is full"),
        new_folder(tmp_path / "run") as f,
    ):
        (f / "half").write_text("x")
        raise error
    assert left_in(tmp_path) == []


def test_an_unwritable_folder_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise failing(errno.EACCES)

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(InputError, match=r"x\.txt: no permission to write here"):
        write_text(tmp_path / "x.txt", "x")
    with (
        pytest.raises(InputError, match="run: no permission to write here"),
        new_folder(tmp_path / "run"),
    ):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_without_permission_is_refused_for_real(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="no permission"):
        write_text(tmp_path / "x.txt", "x")
    tmp_path.chmod(0o700)


def test_a_place_below_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="a parent is a file"):
        write_text(tmp_path / "file/x.txt", "x")
    with pytest.raises(InputError, match="a parent is a file"), new_folder(tmp_path / "file/run"):
        pass
    with pytest.raises(InputError, match="is a folder, expected a file name"):
        write_text(tmp_path, "x")


def test_a_new_folder_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with new_folder(tmp_path / "run") as part:
        (part / "a").write_text("x")
        assert left_in(tmp_path / "run") == []
    assert left_in(tmp_path) == ["run"] and left_in(tmp_path / "run") == ["a"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("other"), failing(errno.ENOENT)])
def test_other_errors_pass_through_and_leave_nothing(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, new_folder(tmp_path / "run") as part:
        (part / "a").write_text("x")
        raise error
    assert caught.value is error and left_in(tmp_path) == []


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/a").write_text("mine")
    with pytest.raises(InputError, match="is not empty"), new_folder(tmp_path / "run"):
        pass
    with pytest.raises(InputError, match="is a file"), new_folder(tmp_path / "run/a"):
        pass
    with pytest.raises(InputError, match="cannot be written"), new_folder(tmp_path / "late") as f:
        (f / "a").write_text("x")
        (tmp_path / "late").mkdir()
        (tmp_path / "late/other").write_text("mine")
    assert left_in(tmp_path) == ["late", "run"] and left_in(tmp_path / "late") == ["other"]
