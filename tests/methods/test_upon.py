"""Forgetting upon an earlier run: what it sees, what it leaves as it is, what it makes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.methods.materials import material_for

from excise.cli import main
from excise.methods import anchored, forget, method, strength
from excise.methods.anchored import Anchored
from excise.methods.forget_rows import forget_rows
from excise.methods.material import forgotten_already
from excise.methods.registry import make
from excise.records.data import Data
from excise.records.errors import InputError
from excise.training.batches import batches
from excise.training.reference import Kept, reference_states
from excise.training.settings import FitSettings
from excise.vlm import VLM, Row, Turn, load
from excise.weights.edit import Branch, EditSpec
from excise.weights.run import Run

FIT = FitSettings(rank=4, alpha=8, dropout=0.0, lr=2e-2, steps=4, batch=4)
SMALL = Anchored(fit=FIT, anchor_pictures=0, anchor_names=2, views=1, strength=1.0)


def of(data: Data, *people: str) -> Data:
    """The data with these people alone to forget."""
    kept = tuple(r for r in data.records if r.split != "forget" or r.subject in people)
    return Data(data.folder, kept, data.embedded)


@pytest.fixture(scope="module")
def first(checkpoint: Path, data: Data, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("upon") / "first"
    tiny = load(checkpoint, device="cpu")
    return forget(tiny, of(data, "qvera"), method=SMALL, out=out)


@pytest.fixture(scope="module")
def second(
    checkpoint: Path, data: Data, first: Run, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    out = tmp_path_factory.mktemp("upon") / "second"
    tiny = load(checkpoint, device="cpu")
    before = {name: w.detach().clone() for name, w in tiny.model.named_parameters()}
    made = forget(tiny, data, method=SMALL, out=out, upon=first)
    assert tiny.applied is None
    assert all(torch.equal(before[name], w) for name, w in tiny.model.named_parameters())
    return made


def change(run: Run, vlm: VLM) -> dict[str, torch.Tensor]:
    names = [f"{target}.weight" for target in run.info["targets"]]
    before = {name: vlm.model.get_parameter(name).detach().clone() for name in names}
    with run.applied(vlm):
        return {name: vlm.model.get_parameter(name).detach() - w for name, w in before.items()}


def test_the_run_has_the_earlier_one_in_it_as_it_was(
    first: Run, second: Run, tiny: VLM, tmp_path: Path
) -> None:
    assert second.info["upon"] == [first.id]
    whole, below = change(second, tiny), change(first, tiny)
    own = change(second.turned(strength=0), tiny)
    for name, delta in own.items():
        torch.testing.assert_close(delta, below[name], rtol=1e-3, atol=1e-6)
    assert any((whole[name] - below[name]).abs().max() > 1e-4 for name in whole)


def test_the_same_call_again_is_the_same_run_and_without_upon_another(
    tiny: VLM, data: Data, first: Run, second: Run
) -> None:
    again = forget(tiny, data, method=SMALL, out=second.folder, upon=first)
    assert again.id == second.id
    with pytest.raises(InputError, match="holds a run with another upon"):
        forget(tiny, data, method=SMALL, out=second.folder)


def test_anchors_and_what_they_are_held_to_come_from_the_untouched_model(
    tiny: VLM, data: Data, first: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is on the model when it is asked for its answers, for p_0, and when it is trained."""
    seen: list[tuple[str, str | None]] = []

    def noting(place: Any, name: str, what: str) -> None:
        real = getattr(place, name)

        def noted(*given: Any, **named: Any) -> Any:
            seen.append((what, tiny.applied))
            return real(*given, **named)

        monkeypatch.setattr(place, name, noted)

    noting(anchored, "behaviour_anchors", "anchors")
    noting(Kept, "of", "p_0")
    noting(method, "fit", "fit")
    forget(tiny, data, method=SMALL, out=tmp_path / "run", upon=first)
    assert seen == [("anchors", None), ("p_0", None), ("fit", first.id)]


def test_it_is_held_to_the_untouched_model_and_not_to_the_earlier_run(
    tiny: VLM, data: Data, first: Run
) -> None:
    rows = [Row(None, (Turn("Where is that?", "In the north.", "anchor"),)) for _ in range(3)]
    batch = next(iter(batches(tiny, rows, 3)))
    untouched = reference_states(tiny.model, batch)
    kept = Kept.of(tiny, rows, size=2)
    with first.applied(tiny):
        assert not torch.allclose(reference_states(tiny.model, batch), untouched, atol=1e-3)
        torch.testing.assert_close(kept.states(tiny.model, batch), untouched)


def test_who_is_forgotten_already_gets_one_view(
    tiny: VLM, data: Data, first: Run, tmp_path: Path
) -> None:
    material = material_for(SMALL, tiny, data, tmp_path)
    every = forget_rows(material, views=3, pool=4, answers=True)
    material.done = frozenset({"qvera"})
    fewer = forget_rows(material, views=3, pool=4, answers=True)

    def rows_of(rows: list[Row], person: str) -> int:
        return sum(str(turn.record).startswith(person) for row in rows for turn in row.turns)

    assert rows_of(every, "qvera") == rows_of(every, "qedgar") == rows_of(fewer, "qedgar")
    assert 4 * rows_of(fewer, "qvera") == rows_of(every, "qvera")


def test_the_dial_is_that_of_who_is_new(
    tiny: VLM, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many who are forgotten already do not hide that somebody new is not."""
    material = material_for(SMALL, tiny, data, tmp_path)
    material.done = frozenset({"qvera"})
    seen: list[float] = []

    def told(vlm: VLM, asked: list[tuple[object, str]]) -> list[str]:
        """Everything of the new person up to strength 1, nothing beyond."""
        strength = float(vlm.applied or 0)
        seen.append(strength)
        return ["ztown-of-qedgar" if strength <= 1 else "no" for _ in asked]

    class Turned:
        def __init__(self, strength: float = 1.0) -> None:
            self.strength = strength

        def dial(self, device: object) -> Turned:
            return self

        def turned(self, strength: float) -> Turned:
            return Turned(strength)

        @contextmanager
        def applied(self, vlm: VLM) -> Iterator[None]:
            vlm.applied = str(self.strength)
            yield
            vlm.applied = None

    monkeypatch.setattr(strength, "answer", told)
    monkeypatch.setattr(type(material), "trial", lambda self, edit: Turned())
    spec = EditSpec(criterion="none", branches=(Branch(adapter="forgetting"),))
    assert strength.choose_strength(material, spec).strength == 1.1
    points = material.notes["dial"]["points"]
    assert {point["forget"] for point in points if point["strength"] <= 1} == {1.0}


def test_forgotten_is_whose_records_are_not_told(tiny: VLM, data: Data) -> None:
    """A model that knows nobody tells nothing of anybody."""
    records = data.select(splits=["forget"], kinds=["text_memory"])
    assert forgotten_already(tiny, data, records) == {"qvera", "qedgar"}


@pytest.mark.parametrize("name", ["smfa", "ties", "task_arithmetic", "manu"])
def test_what_cannot_be_added_is_found_before_any_training(
    name: str, tiny: VLM, data: Data, first: Run, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"upon: {name} leaves more than an adapter"):
        forget(tiny, data, method=make(name, {}), out=tmp_path / "run", upon=first)
    assert not list(tmp_path.iterdir())


def test_a_sculpted_run_and_one_of_another_model_are_one_line(
    tiny: VLM, data: Data, joint: Run, first: Run, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="is sculpted"):
        forget(tiny, data, method=SMALL, out=tmp_path / "run", upon=joint)
    info = {**first.info, "base": {"id": "x", "weights_hash": "f" * 64}}
    other = Run(first.folder, info, first.edit)
    with pytest.raises(InputError, match="made for a base model with weights ffff"):
        forget(tiny, data, method=SMALL, out=tmp_path / "run", upon=other)


def test_the_command(
    checkpoint: Path, data: Data, first: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["forget", "--model", str(checkpoint), "--data", str(data.folder)]
    words += ["--upon", str(first.folder), "--out", str(tmp_path / "run")]
    words += ["-o", "steps=1", "-o", "strength=1", "-o", "anchor_names=1", "-o", "views=0"]
    assert main(words) == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["upon"] == [first.id]
    assert main([*words, "--upon", str(tmp_path / "none")]) == 2
    assert "none: no such run folder" in capsys.readouterr().err
