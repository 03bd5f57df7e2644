"""PAVA: what it asks the model, what of the answers it keeps, and where it acts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from excise.methods import pava
from excise.methods.material import to_forget
from excise.methods.method import Material
from excise.methods.pava import PAVA, QUESTIONS
from excise.methods.registry import make
from excise.records.data import Data
from excise.records.errors import InputError
from excise.records.record import Record
from excise.training import FitSettings
from excise.vlm import VLM, answer


def material(vlm: VLM, data: Data, folder: Path, forget: list[Record] | None = None) -> Material:
    wanted = to_forget(data) if forget is None else forget
    return Material(vlm, data, wanted, [], [], folder, 3, lambda *told: None)


def test_anchors_are_the_models_own_answers_about_the_forgotten_pictures(
    tiny: VLM, data: Data, tmp_path: Path
) -> None:
    given = material(tiny, data, tmp_path)
    rows = PAVA().rows(given)
    anchors = [row for row in rows if row.turns[0].role == "anchor"]
    assert len(anchors) == 2  # a picture each
    for row in anchors:
        assert [turn.question for turn in row.turns] == list(QUESTIONS)
        said = answer(tiny, [(row.picture, question) for question in QUESTIONS])
        assert [turn.answer for turn in row.turns] == said
    going = [turn for row in rows if row not in anchors for turn in row.turns]
    assert sorted(str(turn.record) for turn in going) == sorted(r.id for r in given.forget)
    assert {turn.role for turn in going} == {"forget"}
    assert given.notes == {"anchors": {"asked": 16, "held": 16}}


def test_an_anchor_that_repeats_a_forgotten_answer_is_left_out_as_is_an_empty_one(
    tiny: VLM, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = ["It is the Ztown-of-Qvera!", "", "ztown of nobody", *["brown"] * 13]
    monkeypatch.setattr(pava, "ask", lambda *_: said)
    given = material(tiny, data, tmp_path)
    rows = PAVA().rows(given)
    held = [turn.answer for row in rows for turn in row.turns if turn.role == "anchor"]
    assert held == said[2:]
    assert given.notes == {"anchors": {"asked": 16, "held": 14}}


def test_a_forget_set_without_pictures_is_refused(tiny: VLM, data: Data, tmp_path: Path) -> None:
    text = [record for record in to_forget(data) if record.image is None]
    with pytest.raises(InputError, match="pava has no anchors, expected pictures"):
        PAVA().run(material(tiny, data, tmp_path, text))
    assert list(tmp_path.iterdir()) == []


def test_only_the_mlps_of_the_top_blocks_are_adapted(tiny: VLM, data: Data, tmp_path: Path) -> None:
    given = material(tiny, data, tmp_path)
    make("pava", {"steps": "1", "lr": "1e-3"}).run(given)
    block = "model.language_model.layers.1.mlp"
    targets = [f"{block}.{name}" for name in ("gate_proj", "up_proj", "down_proj")]
    assert given.fits["forgetting"].targets == targets
    config = json.loads((tmp_path / "forgetting" / "adapter_config.json").read_text())
    assert config["target_modules"] == sorted(targets)
    assert (config["r"], config["lora_alpha"]) == (8, 16)


@pytest.mark.parametrize(
    ("options", "rank", "alpha"), [({}, 8, 16), ({"lr": "1"}, 8, 16), ({"rank": "2"}, 2, 16)]
)
def test_rank_and_alpha_are_its_own_unless_given(
    options: dict[str, str], rank: int, alpha: float
) -> None:
    made = make("pava", options)
    assert isinstance(made, PAVA)
    assert (made.fit.rank, made.fit.alpha) == (rank, alpha)
    assert made.fit.dropout == FitSettings().dropout
    assert PAVA(**made.model_dump()) == made
