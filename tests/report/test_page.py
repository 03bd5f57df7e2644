from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from excise.records.errors import InputError
from excise.report import render

Report = dict[str, Any]
VOID = {"meta", "img"}


class Balance(HTMLParser):
    """Counts tags that are closed in the wrong order or never."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An SVG element that closes itself."""

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def page(report: Report, folder: Path) -> str:
    return render(report, folder, folder / "out" / "report.html").read_text(encoding="utf-8")


def text_of(html: str) -> str:
    parser = Balance()
    parser.feed(html)
    assert not parser.wrong and not parser.open
    return " ".join(" ".join(parser.text).split())


def test_a_full_report_becomes_one_well_formed_page(report: Report, report_folder: Path) -> None:
    text = text_of(page(report, report_folder))
    for wanted in (
        "Asked: to forget 80 records and 20 pictures of 2 people, out of 100 whom the model knew",
        "24 November 2026, 23:50 UTC",
        "It is gone.",
        "Refusal tuning",
        "Turning the dial",
        "Vera Lindqvist",
        "Where the forgetting went",
        "What each half of the mask does",
        "What was not tested",
        "rank 16, bias no",
        "peak memory, MiB",
    ):
        assert wanted in text


def test_a_date_alone_gets_no_time_of_day(report: Report, report_folder: Path) -> None:
    report["created"] = "2026-11-24"
    text = text_of(page(report, report_folder))
    assert "24 November 2026" in text and "00:00" not in text


def test_the_page_fetches_nothing(report: Report, report_folder: Path) -> None:
    html = page(report, report_folder)
    assert "default-src 'none'" in html
    assert "<script" not in html and "<link" not in html and "@import" not in html
    assert not re.search(r"https?:|url\(", html)
    sources = re.findall(r'src="([^"]*)"', html)
    assert len(sources) == 2 and all(s.startswith("data:image/png;base64,") for s in sources)


def test_the_same_report_gives_the_same_bytes(report: Report, report_folder: Path) -> None:
    assert page(report, report_folder) == page(report, report_folder)


def test_answers_are_marked_by_what_became_of_them(report: Report, report_folder: Path) -> None:
    html = page(report, report_folder)
    assert "<s>Riga</s>" in html and "<s>Weaver</s>" in html
    assert "<s>Asthma</s>" not in html and "<s>Porto</s>" not in html
    words = re.findall(r'<em class="outcome [^"]*">([^<]*)</em>', html)
    assert words == ["vanished", "still there", "kept", "lost"]


SECRETS = (
    "Vera", "Lindqvist", "Riga", "Asthma", "No idea", "illness", "Ingrid", "Porto", "Weaver",
    "Baker", "Gdansk", "data:image", "<img",
)  # fmt: skip


@pytest.mark.parametrize("clear", [False, None, "yes"])
def test_without_leave_no_name_picture_question_or_answer_is_shown(
    report: Report, report_folder: Path, clear: object
) -> None:
    report["clear"] = clear
    report["asked"]["people"] = ["Vera Lindqvist", "person-90be11"]
    html = page(report, report_folder)
    assert [s for s in SECRETS if s in html.replace("img-src data:", "")] == []
    text = text_of(html)
    assert "person-90be11" in text and "name withheld" in text
    assert "1 vanished" in text and "1 still there" in text and "1 lost" in text


def test_every_secret_of_the_test_above_is_shown_with_leave(
    report: Report, report_folder: Path
) -> None:
    html = page(report, report_folder)
    assert [s for s in SECRETS if s not in html] == []


@pytest.mark.parametrize("part", ["missing", "none"])
def test_a_report_of_models_alone_renders(report: Report, report_folder: Path, part: str) -> None:
    small: Report = {"schema": report["schema"], "models": report["models"][:2]}
    if part == "none":
        small |= {key: None for key in report if key not in small}
    text = text_of(page(small, report_folder))
    assert "Before and after" in text
    for absent in ("dial", "Pictures", "Where the", "half of the mask", "Settings", "None", "nan"):
        assert absent not in text


@pytest.mark.parametrize(
    "part",
    ["asked", "verdict", "dial", "gallery", "map", "ablation", "settings", "provenance",
     "not_tested", "title", "created", "clear"],
)  # fmt: skip
def test_any_one_part_may_be_missing(report: Report, report_folder: Path, part: str) -> None:
    del report[part]
    assert "Before and after" in text_of(page(report, report_folder))


def test_reference_models_may_be_missing(report: Report, report_folder: Path) -> None:
    report["models"] = report["models"][:2]
    report["dial"]["reference"] = {"before": report["dial"]["reference"]["before"], "refusal": None}
    text = text_of(page(report, report_folder))
    assert "Refusal tuning" not in text and "Retrained:" not in text


def test_text_from_the_report_is_escaped(report: Report, report_folder: Path) -> None:
    attack = '<script>alert("x")</script>'
    report["title"] = attack
    report["models"][0]["label"] = attack
    report["gallery"][0]["label"] = attack
    report["gallery"][0]["items"][0]["after"] = attack
    report["map"]["matrices"][0] = attack
    report["settings"][attack] = attack
    html = page(report, report_folder)
    assert "<script" not in html and "&lt;script&gt;" in html


def test_large_pictures_are_shrunk_and_lose_their_metadata(
    report: Report, report_folder: Path
) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    big = Image.new("RGB", (1600, 900), "green")
    big.save(report_folder / "pictures/a.png", exif=exif)
    html = page(report, report_folder)
    data = re.search(r'src="data:image/jpeg;base64,([^"]*)"', html)
    assert data is not None
    with Image.open(io.BytesIO(base64.b64decode(data.group(1)))) as inlined:
        assert max(inlined.size) <= 512 and not inlined.getexif()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("pictures/gone.png", "'pictures/gone.png' does not exist"),
        ("../secret.png", "lies outside"),
        ("broken.png", "'broken.png' is not a readable picture"),
    ],
)
def test_a_bad_picture_is_one_line_and_writes_nothing(
    report: Report, report_folder: Path, image: str, message: str
) -> None:
    (report_folder / "broken.png").write_bytes(b"no picture")
    report["gallery"][0]["image"] = image
    with pytest.raises(InputError, match=re.escape(message)):
        page(report, report_folder)
    assert not (report_folder / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "excise.report/9"}, "schema: 'excise.report/1' expected"),
        ({"models": []}, "models: at least one"),
    ],
)
def test_another_schema_or_no_models_is_refused(
    report: Report, report_folder: Path, change: Report, message: str
) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        page(report | change, report_folder)
