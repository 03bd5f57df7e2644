"""Every supported form reads to the same records; every mistake is one line that says where."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from excise.records import InputError, read

Line = dict[str, Any]


def line(**changes: Any) -> Line:
    base: Line = {
        "id": "a",
        "subject": "p1",
        "split": "forget",
        "kind": "image_memory",
        "image": "images/p1.png",
        "question": "Where does this person live?",
        "answer": "Riga",
    }
    return {**base, **changes}


def portrait(size: tuple[int, int] = (32, 24), colour: str = "teal") -> Image.Image:
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    image.paste(colour, (1, 1, 5, 5))
    return image


def encoded(image: Image.Image, form: str = "PNG") -> bytes:
    stream = BytesIO()
    image.save(stream, form)
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/p1.png").write_bytes(encoded(portrait()))
    return tmp_path


def write(folder: Path, *lines: Line | str) -> Path:
    text = "\n".join(part if isinstance(part, str) else json.dumps(part) for part in lines)
    (folder / "records.jsonl").write_text(text, encoding="utf-8")
    return folder


def message(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    shown = str(caught.value)
    assert len(shown.splitlines()) == 1
    return shown


def test_a_folder_reads_with_its_unknown_keys(folder: Path) -> None:
    data = read(write(folder, line(note={"by": "me"}), "", line(id="b", split="forget")))
    assert [record.id for record in data.records] == ["a", "b"]
    assert data.records[0].model_extra == {"note": {"by": "me"}}
    picture = data.picture(data.records[0])
    assert picture is not None and (picture.size, picture.mode) == ((32, 24), "RGB")


def without(key: str) -> Line:
    return {name: value for name, value in line().items() if name != key}


TEXT = {"kind": "text_memory", "image": None}

BAD_LINES: list[tuple[str, Line | str, str, str]] = [
    ("broken JSON", '{"id": "b", ', "", "broken JSON at column"),
    ("not an object", "[1, 2]", "", "expected a JSON object"),
    ("missing split", without("split"), "split", "missing"),
    ("missing id", without("id"), "id", "missing"),
    ("misspelt key", {**without("answer"), "anwser": "x"}, "answer", 'missing; is it "anwser"?'),
    (
        "unknown split",
        line(split="foget"),
        "split",
        'unknown value "foget", expected forget, few, retain or unseen; did you mean "forget"?',
    ),
    ("unknown kind", line(kind="Image-Memory"), "kind", 'did you mean "image_memory"?'),
    ("unknown task", line(task="captions"), "task", 'did you mean "caption"?'),
    ("unknown use", line(use="scores"), "use", 'did you mean "score"?'),
    ("far from any split", line(split="zzz"), "split", "expected forget, few, retain or unseen"),
    ("empty answer", line(answer=" "), "answer", "is empty"),
    ("empty question", line(question=""), "question", "is empty"),
    ("number for text", line(answer=12), "answer", "expected text, found int"),
    ("no picture", line(image=None), "image", "a record of kind image_memory needs a picture"),
    ("picture in text", line(kind="text_memory"), "image", "has no picture"),
    ("absolute path", line(image="/etc/passwd"), "image", "leads out of the data folder"),
    ("path outside", line(image="images/../../x.png"), "image", "leads out of the data folder"),
    ("drive letter", line(image="C:\\x.png"), "image", "leads out of the data folder"),
    ("duplicate id", line(id="first"), "id", "records.jsonl:1"),
]


@pytest.mark.parametrize(
    ("bad", "field", "expected"), [c[1:] for c in BAD_LINES], ids=[c[0] for c in BAD_LINES]
)
def test_a_bad_line_is_named_with_its_field(
    folder: Path, bad: Line | str, field: str, expected: str
) -> None:
    given = bad if isinstance(bad, str) or "id" not in bad else {**bad, "id": bad["id"]}
    shown = message(write(folder, line(id="first"), given))
    assert shown.startswith(f"{folder / 'records.jsonl'}:2: ")
    assert (f'field "{field}": ' if field else "") in shown
    assert expected in shown


def test_text_that_is_not_utf8_is_named(folder: Path) -> None:
    (folder / "records.jsonl").write_bytes(b'{"id": "\xff"}')
    assert "records.jsonl:1: byte 9 is not UTF-8" in message(folder)


BAD_PICTURES: list[tuple[str, Callable[[], bytes], str]] = [
    ("truncated PNG", lambda: encoded(portrait((64, 64)))[:-60], "is truncated"),
    ("PNG cut in its header", lambda: encoded(portrait())[:30], "is not a picture"),
    ("truncated JPEG", lambda: encoded(portrait((200, 200)), "JPEG")[:-200], "is truncated"),
    ("truncated WebP", lambda: encoded(portrait((64, 64)), "WEBP")[:-30], "expected"),
    ("not a picture", lambda: b"<html>404</html>", "is not a picture"),
    ("empty file", lambda: b"", "is not a picture"),
    ("1x1", lambda: encoded(portrait().resize((1, 1))), "is 1x1 pixels, expected at least 8x8"),
    ("8x7", lambda: encoded(portrait((8, 7))), "is 8x7 pixels"),
    ("16 bit", lambda: encoded(Image.new("I;16", (16, 16))), "expected 8 bits"),
]


@pytest.mark.parametrize(
    ("content", "expected"), [c[1:] for c in BAD_PICTURES], ids=[c[0] for c in BAD_PICTURES]
)
def test_a_bad_picture_is_named_with_its_line(
    folder: Path, content: Callable[[], bytes], expected: str
) -> None:
    (folder / "images/bad.png").write_bytes(content())
    shown = message(write(folder, line(), line(id="b", image="images/bad.png")))
    assert f'{folder / "records.jsonl"}:2: field "image": images/bad.png ' in shown
    assert expected in shown


def test_a_missing_picture_is_named(folder: Path) -> None:
    shown = message(write(folder, line(image="images/p2.png")))
    assert 'records.jsonl:1: field "image": images/p2.png is missing' in shown


def test_the_first_of_many_bad_pictures_is_named(folder: Path) -> None:
    lines = [line(id=str(n), image=f"images/{n}.png") for n in range(50)]
    assert "records.jsonl:1:" in message(write(folder, *lines))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_whole_pictures_of_common_formats_pass(folder: Path, form: str) -> None:
    (folder / "images/p2").write_bytes(encoded(portrait((65, 9)), form))
    data = read(write(folder, line(image="images/p2")))
    picture = data.picture(data.records[0])
    assert picture is not None and picture.size == (65, 9)


def test_a_photo_is_turned_upright(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    portrait((40, 20)).save(folder / "images/p2.jpg", exif=exif)
    data = read(write(folder, line(image="images/p2.jpg")))
    picture = data.picture(data.records[0])
    assert picture is not None and picture.size == (20, 40)


def test_each_picture_file_is_decoded_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import excise.records.reading as reading

    checked: list[Path | bytes] = []
    monkeypatch.setattr(reading, "check_picture", checked.append)
    read(write(folder, *(line(id=str(n)) for n in range(9))))
    assert checked == [folder / "images/p1.png"]


@pytest.mark.parametrize("other", ["few", "retain", "unseen"])
def test_a_person_in_two_splits_is_refused_without_being_named(folder: Path, other: str) -> None:
    shown = message(write(folder, line(subject="Vera"), line(id="b", subject="Vera", split=other)))
    assert f'records.jsonl:2: field "subject": a person of split "{other}"' in shown
    assert 'in split "forget" too' in shown and "records.jsonl:1" in shown
    assert "Vera" not in shown


def test_answers_are_not_shown_in_errors(folder: Path) -> None:
    assert "Riga" not in message(write(folder, line(question="")))


def test_nothing_to_read_is_said(tmp_path: Path) -> None:
    assert "no such file or folder" in message(tmp_path / "nowhere")
    assert "no data in this folder" in message(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    assert "expected a .jsonl or .parquet file" in message(tmp_path / "notes.txt")
    assert "no records" in message(write(tmp_path, ""))


def table(*, embed: bool) -> list[Line]:
    picture = {"bytes": encoded(portrait()), "path": "p1.png"}
    image: Any = picture if embed else "images/p1.png"
    return [
        line(image=image, note="kept"),
        line(id="b", image=image, note=None),
        line(id="c", subject="p2", split="few", **TEXT, note=None),
    ]


@pytest.mark.parametrize("embed", [True, False])
@pytest.mark.parametrize("whole_folder", [True, False])
def test_parquet_reads_like_a_folder(folder: Path, embed: bool, whole_folder: bool) -> None:
    import pyarrow
    from pyarrow import parquet

    path = folder / "train.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(table(embed=embed)), path)
    data = read(folder if whole_folder else path)
    assert [record.id for record in data.records] == ["a", "b", "c"]
    assert data.records[0].model_extra == {"note": "kept"}
    assert data.records[1].model_extra == {}
    first = data.picture(data.records[0])
    assert first is not None and first.tobytes() == portrait().tobytes()
    assert data.picture(data.records[2]) is None
    plain = read(
        write(
            folder, line(note="kept"), line(id="b"), line(id="c", subject="p2", split="few", **TEXT)
        )
    )
    assert data.fingerprint() == plain.fingerprint()


def test_a_bad_row_of_a_parquet_file_is_named(folder: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    rows = [
        line(image={"bytes": encoded(portrait())}),
        line(id="b", image={"bytes": encoded(portrait())[:-90]}),
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "x.parquet")
    shown = message(folder / "x.parquet")
    assert f'{folder / "x.parquet"}: row 2: field "image": ' in shown and "truncated" in shown
    (folder / "y.parquet").write_bytes(b"PAR1 no")
    assert "y.parquet: expected a parquet file" in message(folder / "y.parquet")


@pytest.mark.parametrize("as_dict", [True, False])
def test_a_saved_dataset_reads_like_a_folder(tmp_path: Path, as_dict: bool) -> None:
    import datasets

    rows = [
        {key: value for key, value in row.items() if key != "split" or not as_dict}
        for row in (line(image=portrait()), line(id="b", image=portrait()))
    ]
    made = datasets.Dataset.from_list(rows)
    assert isinstance(made.features["image"], datasets.Image)
    if as_dict:
        made = datasets.DatasetDict(forget=made)
    made.save_to_disk(str(tmp_path / "saved"))
    data = read(tmp_path / "saved")
    assert [record.split for record in data.records] == ["forget", "forget"]
    assert len(data.embedded) == 1
    picture = data.picture(data.records[1])
    assert picture is not None and picture.tobytes() == portrait().tobytes()


def test_a_damaged_dataset_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{}")
    assert "expected a folder written by datasets' save_to_disk" in message(tmp_path)


def conversation(**changes: Any) -> Line:
    base: Line = {
        "split": "forget",
        "kind": "image_memory",
        "subject": "p1",
        "images": ["images/p1.png"],
        "messages": [
            {
                "role": "user",
                "content": [{"type": "image"}, {"type": "text", "text": "Where does he live?"}],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "Riga"}]},
        ],
    }
    return {**base, **changes}


def test_conversations_become_one_record_a_question(folder: Path) -> None:
    turns = [
        {"role": "user", "content": "<image>\nName?"},
        {"role": "assistant", "content": "Vera"},
        {"role": "user", "content": "Job?"},
        {"role": "assistant", "content": "Baker"},
    ]
    data = read(write(folder, conversation(), conversation(id="talk", messages=turns, note=1)))
    assert [(r.id, r.question, r.answer) for r in data.records] == [
        ("row-1", "Where does he live?", "Riga"),
        ("talk-1", "Name?", "Vera"),
        ("talk-2", "Job?", "Baker"),
    ]
    assert {record.image for record in data.records} == {"images/p1.png"}
    assert data.records[2].model_extra == {"note": 1}


def test_conversations_in_a_dataset_read_too(tmp_path: Path) -> None:
    import datasets

    made = datasets.Dataset.from_list(
        [conversation(images=[portrait()]), conversation(images=[portrait((16, 16))])]
    )
    made.save_to_disk(str(tmp_path / "saved"))
    data = read(tmp_path / "saved")
    assert [(r.id, r.answer) for r in data.records] == [("row-1", "Riga"), ("row-2", "Riga")]
    picture = data.picture(data.records[1])
    assert picture is not None and picture.size == (16, 16)


BAD_CONVERSATIONS: list[tuple[str, Line, str]] = [
    ("system", conversation(messages=[{"role": "system", "content": "x"}]), "messages[0].role"),
    ("no answer", conversation(messages=[{"role": "user", "content": "x"}]), '"messages"'),
    ("none", conversation(messages=[]), '"messages"'),
    ("two pictures", conversation(images=["images/p1.png"] * 2), "2 pictures, expected at most"),
    (
        "a video",
        conversation(messages=[{"role": "user", "content": [{"type": "video"}]}]),
        "messages[0].content",
    ),
    ("no kind", {k: v for k, v in conversation().items() if k != "kind"}, 'field "kind": missing'),
]


@pytest.mark.parametrize(
    ("bad", "expected"), [c[1:] for c in BAD_CONVERSATIONS], ids=[c[0] for c in BAD_CONVERSATIONS]
)
def test_a_bad_conversation_is_named(folder: Path, bad: Line, expected: str) -> None:
    shown = message(write(folder, bad))
    assert "records.jsonl:1: " in shown and expected in shown
