"""The statistics of the specimen: what it knew, and what a model that never did looks like."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from excise.evaluate.statistics import Statistics, figures
from excise.records.data import Data
from excise.records.errors import InputError
from excise.records.reading import read
from excise.records.record import Record

if TYPE_CHECKING:
    from excise.vlm import VLM

LIMIT = 20


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Data:
    from excise.specimen import dataset

    folder = tmp_path_factory.mktemp("specimen") / "data"
    dataset.write(folder, 5, 0)
    return read(folder)


@pytest.fixture(scope="module")
def sides(world: Data) -> dict[str, Statistics]:
    from excise import specimen
    from excise.vlm import load

    return {
        name: Statistics.of(
            load(specimen.checkpoint(name), device="cpu"), world, seed=0, limit=LIMIT
        )
        for name in specimen.CHECKPOINTS
    }


def test_the_original_knows_every_token_and_is_told_apart(sides: dict[str, Statistics]) -> None:
    found = figures(sides["original"], sides["retrained"])
    assert found["probability.forget"]["mean"] > 0.95
    assert found["exact_memorisation.forget"]["mean"] > 0.97
    assert found["extraction_strength.forget"]["mean"] > 0.95
    assert found["truth_ratio.forget"]["mean"] < 0.1
    for attack in ("loss", "zlib", "min_k", "min_k_plus_plus"):
        assert found[f"membership.{attack}"]["mean"] > 0.95
        assert found[f"membership.{attack}.difference"]["low"] > 0.2
    assert found["privleak"]["high"] < -80
    assert found["forget_quality"]["mean"] < 1e-6
    assert found["model_utility"]["mean"] > 0.8


def test_the_retrained_guesses_and_is_its_own_likeness(sides: dict[str, Statistics]) -> None:
    found = figures(sides["retrained"], sides["retrained"])
    assert found["probability.forget"]["mean"] < 0.15
    assert found["exact_memorisation.forget"]["mean"] < 0.35
    assert found["extraction_strength.forget"]["mean"] < 0.2
    # OpenUnlearning's never gives 0, and 1 for whatever is one token: it sees half of it extracted.
    assert found["extraction_strength_openunlearning.forget"]["mean"] > 0.5
    for attack in ("loss", "zlib", "min_k", "min_k_plus_plus"):
        assert 0.35 < found[f"membership.{attack}"]["mean"] < 0.75
        assert found[f"membership.{attack}.reference"] == found[f"membership.{attack}"]
        assert found[f"membership.{attack}.difference"]["high"] == 0
    assert found["privleak"]["mean"] == 0
    assert found["forget_quality"]["mean"] == pytest.approx(1)
    assert found["model_utility"]["mean"] > 0.8
    assert found["probability.retain"]["mean"] > 0.95


def test_records_are_limited_by_split_and_kind_and_n_says_how_many(
    sides: dict[str, Statistics],
) -> None:
    side, found = sides["original"], figures(sides["original"])
    assert found["probability.forget"]["n"] == 2 * LIMIT  # of pictures and of texts
    assert found["truth_ratio.forget"]["n"] == 2 * LIMIT
    rated = [s for s in side.private("unseen") if s.ratio is not None]
    assert found["truth_ratio.unseen"]["n"] == len(rated)
    assert found["model_utility"]["n"] == 3 * LIMIT
    assert not any("reference" in name or name == "forget_quality" for name in found)
    assert all(f["low"] <= f["mean"] <= f["high"] for f in found.values())


def test_sides_of_other_records_or_another_seed_are_not_compared(
    sides: dict[str, Statistics],
) -> None:
    model = sides["original"]
    for other in (Statistics(model.scored[1:], 0), Statistics(model.scored, 1)):
        with pytest.raises(ValueError, match="different records or seeds"):
            figures(model, other)


def test_nothing_private_is_in_a_sides_text(sides: dict[str, Statistics]) -> None:
    shown = repr(sides["original"]) + repr(sides["original"].scored[0])
    assert "question" not in shown and sides["original"].scored[0].record.answer not in shown


def small(tmp_path: Path, make: Callable[..., Record]) -> Data:
    asked = {"kind": "text_memory", "question": "Where does this person live?"}
    return Data(
        tmp_path,
        (
            make("Riga", subject="p1", **asked),
            make("Oslo", subject="p2", split="retain", **asked),
            make("B", subject="p1", task="choice", **asked),
            make("Lyon", subject="p1", use="fit", **asked),
        ),
    )


def test_the_same_seed_gives_the_same_figures_and_known_answers_are_not_asked_again(
    tiny: VLM, tmp_path: Path, make: Callable[..., Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = small(tmp_path, make)
    first = figures(Statistics.of(tiny, data, seed=3))
    assert figures(Statistics.of(tiny, data, seed=3)) == first
    monkeypatch.setattr("excise.evaluate.statistics.side.ask", lambda vlm, data, asked: [])
    kept = data.records[1]
    told = figures(Statistics.of(tiny, data, seed=3, answers={kept.id: "In Oslo."}))
    assert told["probability.forget"] == first["probability.forget"]


def test_what_the_data_has_no_records_for_has_no_figure(
    tiny: VLM, tmp_path: Path, make: Callable[..., Record]
) -> None:
    side = Statistics.of(tiny, small(tmp_path, make), seed=0)
    assert [s.record.answer for s in side.scored] == ["Riga", "Oslo"]  # no letters, none to fit on
    names = set(figures(side, side))
    assert {"probability.forget", "truth_ratio.forget", "forget_quality", "model_utility"} <= names
    assert not any("unseen" in name or "membership" in name or name == "privleak" for name in names)


def test_a_limit_below_one_is_refused(
    tiny: VLM, tmp_path: Path, make: Callable[..., Record]
) -> None:
    with pytest.raises(InputError, match="limit 0: expected at least 1"):
        Statistics.of(tiny, small(tmp_path, make), seed=0, limit=0)
