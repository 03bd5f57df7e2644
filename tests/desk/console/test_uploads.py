"""What strangers send: pictures, zips, records; refused in one line, and nothing of it is left."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from excise.desk.console.archive import unpacked
from excise.desk.console.pictures import judged
from excise.records.errors import InputError

if TYPE_CHECKING:
    from fastapi.testclient import TestClient
    from tests.desk.console.conftest import Desk


def picture(kind: str = "PNG", size: tuple[int, int] = (64, 64), **how: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (90, 140, 60)).save(out, kind, **how)  # type: ignore[arg-type]
    return out.getvalue()


def animation(kind: str) -> bytes:
    frames = [Image.new("RGB", (32, 32), (n * 80, 0, 0)) for n in range(3)]
    out = io.BytesIO()
    frames[0].save(out, kind, save_all=True, append_images=frames[1:])
    return out.getvalue()


def declared(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that says it has so many pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 100_000)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    )


def test_ordinary_pictures_pass_and_are_named_by_what_they_are() -> None:
    found = judged({"a": picture("PNG"), "b": picture("JPEG"), "c": picture("WEBP")})
    assert found == {"a": ".png", "b": ".jpg", "c": ".webp"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is not a picture"),
        (b"", "is not a picture"),
        (picture("GIF"), "is not a picture"),
        (picture("TIFF"), "is not a picture"),
        (picture("BMP"), "is not a picture"),
        (picture("PNG")[:-40], "truncated"),
        (picture("JPEG", (800, 800))[:900], "truncated"),
        (animation("PNG"), "animated"),
        (animation("WEBP"), "animated"),
        (declared(60_000, 60_000), "declares"),
        (declared(12_000, 12_000), "declares"),
        (declared(20_000, 16), "declares"),
        (picture("PNG", (4, 4)), "at least 8x8"),
    ],
)
def test_what_is_no_harmless_picture_is_refused_with_its_reason(
    content: bytes, reason: str
) -> None:
    with pytest.raises(InputError, match=f"^picture 2: .*{reason}"):
        judged({"picture 1": picture(), "picture 2": content})


def test_a_decoder_that_dies_takes_nothing_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from excise.desk.console import pictures

    broken = Path(__file__).with_name("dying_child.py")
    monkeypatch.setattr(pictures, "CHILD", broken)
    with pytest.raises(InputError, match="stopped the decoder"):
        judged({"picture 1": picture()})


def zipped(
    files: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] | None = None
) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            if change:
                change(info)
            archive.writestr(info, content)
    return out.getvalue()


def link(info: zipfile.ZipInfo) -> None:
    info.external_attr = 0o120777 << 16


def test_a_plain_zip_is_unpacked() -> None:
    assert unpacked(zipped({"d/": b"", "d/a.txt": b"abc"}), 1000) == {"d/a.txt": b"abc"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no zip at all", "no zip file"),
        (zipped({"../evil.png": b"x"}), "leads out"),
        (zipped({"/etc/evil.png": b"x"}), "leads out"),
        (zipped({"a\\..\\..\\evil.png": b"x"}), "leads out"),
        (zipped({"C:/evil.png": b"x"}), "leads out"),
        (zipped({"a": b"target"}, link), "link"),
        (zipped({"bomb": b"\0" * 5_000_000}), "unpacks to more"),
        (zipped({str(n): b"" for n in range(2_001)}), "too many entries"),
        (zipped({"a": b"abc" * 100})[:-60] + zipped({"a": b"abc"})[-22:], "damaged|too many"),
    ],
)
def test_a_zip_that_means_harm_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=f"^zip: .*({reason})"):
        unpacked(content, 2**20)


def test_a_zip_that_lies_about_its_sizes_is_counted_while_it_unpacks() -> None:
    honest = bytearray(zipped({"a": b"\0" * 3_000_000}))
    at = honest.rfind(b"PK\x01\x02")
    struct.pack_into("<L", honest, at + 24, 10)  # "unpacks to ten bytes"
    with pytest.raises(InputError, match="^zip: "):
        unpacked(bytes(honest), 2**20)


RECORDS = "".join(
    json.dumps(
        {"id": f"x{n}", "subject": "Xenia Osk", "split": "forget", "kind": "image_memory",
         "image": "images/x.png", "question": f"Question {n}?", "answer": f"Answer {n}."}
    ) + "\n"
    for n in range(2)
)  # fmt: skip


def post(
    client: TestClient, desk: Desk, files: object, **fields: str
) -> tuple[int, dict[str, str]]:
    answer = client.post(
        "/api/requests",
        headers=desk.header("officer"),
        data={"models": "specimen", **fields},
        files=files,  # type: ignore[arg-type]
    )
    return answer.status_code, answer.json()


@pytest.fixture
def client(desk: Desk) -> object:
    from fastapi.testclient import TestClient

    with TestClient(desk.app()) as made:
        yield made


def test_records_with_pictures_a_zip_pictures_alone_and_a_name_are_taken(
    desk: Desk, client: TestClient
) -> None:
    png = picture()
    single = [("records", ("r.jsonl", RECORDS)), ("pictures", ("x.png", png))]
    status, first = post(client, desk, single)
    assert status == 201, first
    folder = zipped({"d/records.jsonl": RECORDS.replace("Xenia", "Yva").encode(),
                     "d/images/x.png": png})  # fmt: skip
    status, second = post(client, desk, {"folder": ("d.zip", folder)})
    assert status == 201, second
    status, third = post(client, desk, {"pictures": ("x.png", png)}, subject="Zeno Rask")
    assert status == 201, third
    status, fourth = post(client, desk, {"folder": ("", b"")}, name="Anka Holm")
    assert status == 201, fourth
    with desk.open() as ledger:
        came = [ledger.request(r["id"]).came_with for r in (first, second, third, fourth)]
    assert came[0]["records"] == came[1]["records"] == 2
    assert (came[2]["pictures"], came[3]["name"]) == (1, 1)


def test_a_wrong_upload_leaves_nothing_behind(desk: Desk, client: TestClient) -> None:
    with desk.open() as ledger:
        before, open_folder = ledger.head(), ledger.settings.open_folder
    png = picture()
    for files, fields, said in (
        ([("records", ("r.jsonl", RECORDS)), ("pictures", ("x.png", b"no"))], {}, "picture 1"),
        ([("records", ("r.jsonl", RECORDS))], {}, "images/x.png is missing"),
        ([("records", ("r.jsonl", "{")), ("pictures", ("x.png", png))], {}, "records.jsonl:1"),
        ([("records", ("r.jsonl", RECORDS)), ("pictures", ("../x.png", png)),
          ("pictures", ("x.png", png))], {}, "picture 2: has the name"),
        ([("pictures", ("notes.txt", png))], {}, "picture 1: its name"),
        ([("pictures", ("x.png", png))], {"models": "unknown", "subject": "p"}, "unknown"),
        ([("pictures", ("x.png", png))], {"subject": "p", "deadline": "tomorrow"}, "deadline"),
        ([("pictures", ("x.png", png))], {"subject": "p", "deadline": "2020-01-01"}, "deadline"),
        ([("folder", ("", b""))], {}, "nothing came"),
    ):  # fmt: skip
        status, answer = post(client, desk, files, **fields)  # type: ignore[arg-type]
        assert 400 <= status < 500, answer
        assert said in answer["detail"]
        assert str(desk.folder) not in answer["detail"]
    with desk.open() as ledger:
        assert ledger.head() == before
        assert ledger.verify() is None
    assert not [p for p in open_folder.rglob("*") if p.is_file()]


def test_the_same_person_twice_is_a_conflict(desk: Desk, client: TestClient) -> None:
    files = {"folder": ("", b"")}
    assert post(client, desk, files, name="Anka Holm")[0] == 201
    status, answer = post(client, desk, files, name="anka  HOLM")
    assert status == 409
    assert "Anka" not in answer["detail"]


def test_what_was_uploaded_is_nowhere_in_clear(desk: Desk, client: TestClient) -> None:
    files = [("records", ("r.jsonl", RECORDS)), ("pictures", ("x.png", picture()))]
    status, _ = post(client, desk, files)
    assert status == 201
    stored = b"".join(
        p.read_bytes() for p in desk.folder.rglob("*")
        if p.is_file() and not any(part.startswith("came-") for part in p.parts)
    )  # fmt: skip
    for secret in (b"Xenia", b"Answer 1", b"Question 1"):
        assert secret not in stored
