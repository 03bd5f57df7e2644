"""`k=auto`: chosen on a held-out part of what the method may see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from excise.methods import SMFA, checkup, dial, forget, method
from excise.methods.material import hold_out, retained, to_forget
from excise.methods.method import Material
from excise.methods.refusal import Refusal
from excise.records.data import Data
from excise.records.record import Record
from excise.vlm import VLM, load
from excise.weights.run import Run


@dataclass
class Watched:
    """A run with `k=auto`, and what was put to the model and trained on while it was made."""

    vlm: VLM
    run: Run
    asked: dict[str, list[Record]] = field(default_factory=dict)
    trained: set[str | None] = field(default_factory=set)


@pytest.fixture(scope="module")
def auto(smfa: SMFA) -> SMFA:
    return smfa.model_copy(update={"k": "auto"})


@pytest.fixture(scope="module")
def watched(
    checkpoint: Path, data: Data, auto: SMFA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    asked: dict[str, list[Record]] = {"dial": [], "checkup": []}
    trained: set[str | None] = set()
    put, fit = dial.ask, method.fit

    def spy(room: str) -> Any:
        def ask(vlm: VLM, data: Data, records: Sequence[Record]) -> list[str]:
            asked[room].extend(records)
            return put(vlm, data, records)

        return ask

    def spied_fit(vlm: VLM, rows: Any, **rest: Any) -> Any:
        trained.update(turn.record for row in rows for turn in row.turns)
        return fit(vlm, rows, **rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dial, "ask", spy("dial"))
        patch.setattr(checkup, "ask", spy("checkup"))
        patch.setattr(method, "fit", spied_fit)
        vlm = load(checkpoint, device="cpu")
        out = tmp_path_factory.mktemp("auto") / "run"
        yield Watched(vlm, forget(vlm, data, method=auto, out=out), asked, trained)


def test_k_is_one_of_the_grid_and_how_it_was_chosen_is_written_down(watched: Watched) -> None:
    run = watched.run
    note, counts = run.info["notes"]["dial"], run.info["records"]
    assert run.edit.branches[0].k == note["k"] and note["k"] in dial.GRID
    assert run.info["settings"]["k"] == "auto"
    assert counts["forget"] + counts["few"] + counts["held_out"] == 18
    assert sum(note["records"].values()) == counts["held_out"]
    assert note["records"]["forget"] >= 1 and note["scored_on"] == "held-out records"
    assert all(point["k"] is None or point["k"] in dial.GRID for point in note["points"])
    assert note["points"][-1]["k"] is None  # the uncut adapter, which sets the bound
    assert Run.load(run.folder).edit == run.edit
    assert watched.vlm.applied is None


def test_only_what_the_method_may_see_is_ever_asked(watched: Watched) -> None:
    assert watched.asked["dial"] and watched.asked["checkup"]
    everything = [*watched.asked["dial"], *watched.asked["checkup"]]
    assert {record.split for record in everything} == {"forget", "few"}
    assert all(record.fits for record in everything)


def test_the_dial_is_chosen_on_facts_that_were_trained_in_other_words(
    watched: Watched, data: Data
) -> None:
    held = {record.id for record in watched.asked["dial"]}
    assert held and watched.trained and not held & watched.trained
    facts = {r.id: (r.subject, r.kind, r.answer) for r in data.records}
    assert {facts[name] for name in held} <= {facts[str(name)] for name in watched.trained}


@pytest.mark.parametrize(
    ("forgets_from", "chosen"), [(0.0, 0.0), (0.1, 0.25), (2.2, 2.5), (48.0, 48.0), (99.0, 48.0)]
)
def test_the_smallest_k_at_which_the_memory_stays_gone_is_chosen(
    forgets_from: float,
    chosen: float,
    tiny: VLM,
    data: Data,
    joint: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A model that answers the truth at every k below `forgets_from`, and nothing from there on."""
    now: dict[str, float] = {}
    turned = Run.turned

    def spy(run: Run, k: float | None = None, criterion: Any = None) -> Run:
        now["k"] = 1e9 if criterion == "none" else float(k or 0.0)
        return turned(run, k, criterion)

    def ask(vlm: VLM, data: Data, records: Sequence[Record]) -> list[str]:
        assert vlm.applied is not None
        return [record.answer if now["k"] < forgets_from else "?" for record in records]

    monkeypatch.setattr(Run, "turned", spy)
    monkeypatch.setattr(dial, "ask", ask)
    forgotten, held = hold_out(to_forget(data), 0)
    material = Material(
        tiny, data, forgotten, retained(data, Refusal()), held, joint.folder, 0, lambda *told: None
    )
    spec = dial.choose_k(material, joint.edit)
    assert [branch.k for branch in spec.branches] == [chosen]
    assert spec.criterion == joint.edit.criterion and spec.anchor == joint.edit.anchor
    assert material.notes["dial"]["k"] == chosen
    assert len(material.notes["dial"]["points"]) <= 1 + len(dial.GRID).bit_length()
    assert tiny.applied is None


def test_without_anything_to_hold_out_the_run_says_so(
    tiny: VLM, data: Data, auto: SMFA, tmp_path: Path
) -> None:
    once = Data(data.folder, tuple(r for r in data.records if not r.id.endswith("-1")))
    run = forget(tiny, once, method=auto, out=tmp_path / "run")
    assert "none could be held out" in run.info["notes"]["dial"]["scored_on"]
    assert run.info["records"]["held_out"] == 0
    assert run.edit.branches[0].k in dial.GRID
