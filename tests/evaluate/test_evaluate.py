from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

import excise
from excise.evaluate import ask, evaluate
from excise.records.data import Data
from excise.records.errors import InputError
from excise.records.record import Record

if TYPE_CHECKING:
    from excise.vlm.load import VLM

Make = Callable[..., Record]
Question = tuple[Image.Image | None, str]


class Model:
    """Stands for a model: says the question's last word, and remembers what it was asked."""

    name, applied = "original", "run-1"

    def __init__(self) -> None:
        self.asked: list[Question] = []


@pytest.fixture
def vlm(monkeypatch: pytest.MonkeyPatch) -> Any:
    def answer(vlm: Model, questions: Sequence[Question], **_: object) -> list[str]:
        vlm.asked += questions
        return [question.split()[-1] for _, question in questions]

    stub = ModuleType("excise.vlm.generation")
    stub.answer = answer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "excise.vlm.generation", stub)
    return Model()


@pytest.fixture
def data(tmp_path: Path, make: Make) -> Data:
    (tmp_path / "images").mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (64, 64), (0, 0, ord(name))).save(tmp_path / "images" / f"{name}.png")
    records = [
        make("Riga", image="images/a.png", question="Where? Riga", id="1", subject="x"),
        make("Oslo", image="images/b.png", question="Where? Riga", id="2", subject="x"),
        make("Bari", image="images/a.png", question="Where? Riga", id="3", split="retain"),
        make("Bari", kind="text_memory", question="Where? Bari", id="4", split="retain"),
        make("Bari", kind="text_memory", question="Where? Bari", id="5", use="fit"),
    ]
    return Data(folder=tmp_path, records=tuple(records))


def test_identical_asks_are_put_once_and_answers_come_in_order(vlm: Any, data: Data) -> None:
    assert ask(vlm, data, data.records) == ["Riga", "Riga", "Riga", "Bari", "Bari"]
    assert len(vlm.asked) == 3


def test_asks_about_one_picture_share_it(vlm: Any, data: Data, make: Make) -> None:
    ask(vlm, data, [*data.records, make("x", image="images/a.png", question="Who?")])
    of_a = [
        picture for picture, _ in vlm.asked if picture and picture.getpixel((0, 0)) == (0, 0, 97)
    ]
    assert len(of_a) == 2 and of_a[0] is of_a[1]


def test_many_asks_go_in_chunks(vlm: Any, data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["excise.evaluate.evaluate"], "CHUNK", 2)
    assert ask(vlm, data, data.records) == ["Riga", "Riga", "Riga", "Bari", "Bari"]
    assert len(vlm.asked) == 3


def test_all_splits_are_scored_but_never_what_is_for_training_only(vlm: Any, data: Data) -> None:
    found = evaluate(vlm, data)
    assert (found["model"], found["run"]) == ("original", "run-1")
    cells = {s: {k: c["exact"]["n"] for k, c in v.items()} for s, v in found["splits"].items()}
    assert cells == {
        "forget": {"image_memory": 2},
        "retain": {"image_memory": 1, "text_memory": 1},
    }
    assert found["splits"]["forget"]["image_memory"]["exact"]["mean"] == 0.5


def test_the_room_itself_can_be_called(vlm: Any, data: Data) -> None:
    assert excise.evaluate(vlm, data, splits=["retain"]) == evaluate(vlm, data, splits=["retain"])


def test_a_limit_draws_from_every_split_and_kind_alike(vlm: Any, data: Data) -> None:
    found = evaluate(vlm, data, limit=1, seed=3)
    counts = [c["exact"]["n"] for cells in found["splits"].values() for c in cells.values()]
    assert counts == [1, 1, 1]
    assert found == evaluate(vlm, data, limit=1, seed=3)
    with pytest.raises(InputError, match="limit 0"):
        evaluate(vlm, data, limit=0)


def test_answers_are_written_when_asked_for(vlm: Any, data: Data, tmp_path: Path) -> None:
    evaluate(vlm, data, answers_out=tmp_path / "answers.jsonl", splits=["forget"])
    lines = (tmp_path / "answers.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"id": "1", "answer": "Riga"},
        {"id": "2", "answer": "Riga"},
    ]


def test_nothing_to_score_is_said_in_one_line(vlm: Any, data: Data) -> None:
    with pytest.raises(InputError, match="no records of split unseen to score"):
        evaluate(vlm, data, splits=["unseen"])


def test_a_bad_reference_fails_before_the_model_is_asked(vlm: Any, data: Data, make: Make) -> None:
    bad = make("left", image="images/a.png", kind="general", task="grounding")
    with pytest.raises(InputError, match="no box"):
        evaluate(vlm, Data(folder=data.folder, records=(*data.records, bad)))
    assert vlm.asked == []


def test_the_scores_hold_no_name_question_or_answer(vlm: Any, data: Data) -> None:
    text = json.dumps(evaluate(vlm, data))
    assert not any(word in text for word in ("Riga", "Oslo", "Where", '"x"'))


def test_a_real_model_is_asked_and_scored(tiny: VLM, data: Data) -> None:
    from excise.vlm.generation import answer

    found = evaluate(tiny, data)
    assert (found["model"], found["run"]) == ("tiny-llava", None)
    alone = [answer(tiny, [(data.picture(r), r.question)])[0] for r in data.records]
    assert ask(tiny, data, data.records) == alone
