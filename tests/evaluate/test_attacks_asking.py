from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from excise.evaluate.attacks import Target, asking
from excise.evaluate.attacks.asking import Ask, asked
from excise.evaluate.attacks.picture_edits import Flip
from excise.evaluate.attacks.prefill import beginning
from excise.records.data import Data
from excise.records.record import Record
from excise.vlm import VLM, generation, sampling


class Heard:
    """Stands for a model: what it was asked, and "Riga" for every answer."""

    def __init__(self) -> None:
        self.questions: list[tuple[Image.Image | None, str]] = []
        self.starts: list[str] = []

    def answer(
        self, vlm: VLM, questions: Sequence[Any], *, starts: Sequence[str], **_: Any
    ) -> list[str]:
        self.questions += questions
        self.starts += starts
        return [f"{start} Riga".strip() for start in starts]

    def sample(
        self, vlm: VLM, questions: Sequence[Any], *, samples: int, **_: Any
    ) -> list[list[str]]:
        self.questions += questions
        return [["Riga", "Oslo"] * (samples // 2) for _ in questions]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    model = Heard()
    monkeypatch.setattr(generation, "answer", model.answer)
    monkeypatch.setattr(sampling, "sample", model.sample)
    return model


@pytest.fixture
def target(tmp_path: Path, make: Any) -> Target:
    Image.new("RGB", (8, 8), (1, 2, 3)).save(tmp_path / "a.png")
    records: tuple[Record, ...] = (
        make("Riga", id="riga", subject="a", image="a.png"),
        make("Oslo", id="oslo", subject="b", split="unseen", image="a.png"),
        make("New York", id="york", subject="c", image="a.png"),
    )
    return Target(None, Data(tmp_path, records), records)  # type: ignore[arg-type]


def test_a_shared_ask_is_put_once_and_judged_for_each_record(heard: Heard, target: Target) -> None:
    outcome = asked(target, [Ask(record.id, "Where?") for record in target.records] * 2)
    assert len(heard.questions) == outcome.asks == 1
    assert outcome.found == {"riga": 2, "oslo": 0, "york": 0}


def test_edits_pictures_and_starts_make_an_ask_another_one(heard: Heard, target: Target) -> None:
    asks = [
        Ask("riga", "Where?"),
        Ask("riga", "Where?", "a.png"),
        Ask("riga", "Where?", "a.png", Flip()),
        Ask("riga", "Where?", "a.png", Flip()),
        Ask("riga", "Where?", start="In"),
    ]
    outcome = asked(target, asks)
    assert outcome.asks == 4
    assert outcome.found == {"riga": 5}
    assert sorted(heard.starts) == ["", "", "", "In"]


def test_what_tells_the_fact_itself_is_not_asked(heard: Heard, target: Target) -> None:
    asks = [
        Ask("riga", "Is it Riga?"),
        Ask("oslo", "Is it Riga?"),
        Ask("york", "Where?", start="It is New York"),
    ]
    assert asked(target, asks).found == {"oslo": 0}


def test_a_start_counts_as_part_of_the_answer(
    heard: Heard, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        generation, "answer", lambda vlm, questions, starts: [f"{s} York" for s in starts]
    )
    assert asked(target, [Ask("york", "Where?", start="New")]).found == {"york": 1}


def test_every_sample_counts(heard: Heard, target: Target) -> None:
    outcome = asked(target, [Ask(r.id, "Where?", samples=10) for r in target.records])
    assert outcome.asks == 10
    assert outcome.found == {"riga": 5, "oslo": 5, "york": 0}


def test_pictures_are_decoded_once_a_chunk(
    heard: Heard, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    plain = Data.picture

    def counted(self: Data, record: Record) -> Image.Image | None:
        decoded.append(record.id)
        return plain(self, record)

    monkeypatch.setattr(Data, "picture", counted)
    monkeypatch.setattr(asking, "CHUNK", 4)
    asked(target, [Ask("riga", f"Where? {n}", "a.png") for n in range(8)])
    assert len(decoded) == 2
    assert len(heard.questions) == 8


class _Letters:
    """Two letters a token."""

    def encode(self, text: str, add_special_tokens: bool) -> list[str]:
        return [text[place : place + 2] for place in range(0, len(text), 2)]

    def decode(self, ids: list[str]) -> str:
        return "".join(ids)


@pytest.mark.parametrize(
    ("answer", "start"),
    [
        ("Ivan Zeman", "Ivan"),
        ("a b c", "a"),
        ("a b c d", "a b"),
        ("Seville", "Se"),
        ("24,900", "24"),
        ("abc", "a"),
        ("A", ""),
    ],
)
def test_a_beginning_is_at_most_half_of_the_answer(answer: str, start: str) -> None:
    given = beginning(answer, 0.5, _Letters())
    assert given == start
    assert len(given) <= len(answer) / 2 or " " in answer
