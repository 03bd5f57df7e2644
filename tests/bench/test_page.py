"""The page of a bench."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.bench.conftest import PRIVATE, Bench

from excise.records.errors import InputError
from excise.report.bench_page import render
from excise.report.figures import Figure
from excise.report.plane import LINE, Spot, front, plane

VOID = {"meta", "img", "br", "circle", "line", "path", "polyline", "rect"}


class Balanced(HTMLParser):
    """Fails on a tag that is closed before what is inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_has_planes_tables_and_every_method(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out, table = finished
    text = render(table, out, tmp_path / "bench.html").read_text()
    parser = Balanced()
    parser.feed(text)
    assert not parser.open
    assert text.count("<svg") == 2 and text.count("<table") == 4
    for name in ("original", "refusal", "smfa"):
        assert text.count(f">{name}</th>") >= 3
    assert text.count("<polyline") == 2  # the dial of smfa, in both planes
    assert "http://" not in text and "https://" not in text and "url(" not in text


def test_the_page_shows_answers_in_clear_only_where_that_was_asked_for(
    bench: Bench, tmp_path: Path, finished: tuple[Path, dict[str, Any]]
) -> None:
    quiet = render(finished[1], finished[0], tmp_path / "quiet.html").read_text().lower()
    assert not [word for word in PRIVATE if word in quiet] and "<img" not in quiet
    clear = bench(tmp_path / "bench", methods=["refusal"], cleartext=True)
    text = render(clear, tmp_path / "bench", tmp_path / "clear.html").read_text()
    assert "ztown-of-qvera" in text or "ztown-of-qedgar" in text
    assert 'src="data:image/png;base64,' in text


def test_a_json_of_another_kind_makes_no_page(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="schema"):
        render({"schema": "excise.report/1"}, tmp_path, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def spots(count: int) -> list[Spot]:
    """Methods that all lie at one place, and one elsewhere."""
    same = [Spot(f"method-{i}", "method", Figure(0.0), Figure(0.5)) for i in range(count)]
    return [Spot("original", "original", Figure(1.0), Figure(1.0)), *same]


@pytest.mark.parametrize("count", [1, 5, 40])
def test_names_in_the_margin_never_cover_each_other(count: int) -> None:
    drawn = str(plane("Retained memory", spots(count)))
    places = [float(y) for y in re.findall(r'class="name method" x="[\d.]+" y="([\d.]+)"', drawn)]
    height = float(re.findall(r'viewBox="0 0 [\d.]+ ([\d.]+)"', drawn)[0])
    assert len(places) == count and places == sorted(places)
    assert all(b - a >= LINE - 0.2 for a, b in pairwise(places))
    assert places[0] > 0 and places[-1] < height - 30


def test_the_front_is_what_nobody_beats_in_both() -> None:
    assert front([(1.0, 0.0), (0.5, 0.5), (0.4, 0.4), (0.5, 0.5)]) == [True, True, False, True]
