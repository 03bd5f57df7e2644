"""Anchored forgetting: its loss, its anchors and its dial."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tests.methods.materials import material_for

from excise.methods import forget
from excise.methods.anchored import SURE, Anchored
from excise.methods.anchors import ROLE, behaviour_anchors
from excise.methods.registry import make
from excise.methods.strength import GRID, TOLERANCE
from excise.records.data import Data
from excise.records.errors import InputError
from excise.records.reading import read
from excise.records.unlabelled import Unlabelled, read_unlabelled
from excise.training.reference import Kept
from excise.training.settings import FitSettings
from excise.vlm import VLM, Packer, Row, Turn
from excise.vlm.generation import answer
from excise.weights.run import Run

FIT = FitSettings(rank=4, alpha=8, dropout=0.0, lr=2e-2, steps=6, batch=4)
SMALL = Anchored(fit=FIT, anchor_pictures=4, anchor_names=2, views=1, strength=1.0)


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unlabelled")
    for number in range(4):
        Image.new("RGB", (64, 64), (50 * number, 90, 30)).save(folder / f"{number}.png")
    (folder / "names.txt").write_text("Ada Weiss\nBen Schwarz\n")
    return folder


def alone(vlm: VLM, turn: Turn) -> tuple[torch.Tensor, torch.Tensor]:
    """(T, vocabulary) log-probabilities of one answer asked alone, and its tokens."""
    packer = Packer(vlm.processor, vlm.model)
    batch = packer.collate([packer.encode(Row(None, (turn,)))])
    answered = batch["labels"][0] != -100
    given = {k: v for k, v in batch.items() if k not in ("labels", "roles", "pictures")}
    logits = vlm.model(**given).logits[0].double()
    before = answered.roll(-1)
    return logits[before].log_softmax(-1), batch["labels"][0][answered]


def test_the_loss_is_its_formula(tiny: VLM) -> None:
    """Refusal, push and hold on one row, against each answer asked alone, in float64."""
    turns = (
        Turn("Where does Ada live?", "I do not know.", "refuse"),
        Turn("Where does Ada live?", "In Riga.", "forget"),
        Turn("Where does Ben live?", "In Oslo.", ROLE),
    )
    layers = [m for m in tiny.model.modules() if isinstance(m, torch.nn.Linear)]
    method = Anchored(push=0.7, hold=3.0, first=5.0)
    kept, packer = Kept(), Packer(tiny.processor, tiny.model)
    batch = packer.collate([packer.encode(Row(None, turns))])
    before = [alone(tiny, turn)[0].detach() for turn in turns]
    method.loss(tiny.model, batch, kept)  # keeps what the untouched model says
    saved = layers[-3].weight.detach().clone()
    try:
        with torch.no_grad():
            layers[-3].weight.add_(0.05 * torch.randn(saved.shape, generator=torch.manual_seed(1)))
        found = method.loss(tiny.model, batch, kept)
        refused, forgotten, held = (alone(tiny, turn) for turn in turns)
    finally:
        with torch.no_grad():
            layers[-3].weight.copy_(saved)
    picked = [now.gather(1, tokens[:, None])[:, 0] for now, tokens in (refused, forgotten)]
    then = before[2]
    apart = (then.exp() * (then - held[0])).sum(1)
    push = -(1 - picked[1].exp().clamp(max=SURE)).log()
    push = push[:-1]  # that an answer ends is no secret
    assert float(apart.mean().detach()) > 1e-3  # the two models do differ
    weight = torch.ones_like(apart)
    weight[0] = 5.0
    wanted = -picked[0].mean() + 0.7 * push.mean() + 3.0 * (weight * apart).mean()
    assert float(found.detach()) == pytest.approx(float(wanted.detach()), rel=1e-4)


def test_anchors_hold_what_the_untouched_model_says(
    tiny: VLM, data: Data, unlabelled: Path, tmp_path: Path
) -> None:
    material = material_for(SMALL, tiny, data, tmp_path)
    rows = behaviour_anchors(material, read_unlabelled(unlabelled, required=True),
                             pictures=4, names=2, own=1)  # fmt: skip
    own = [row for row in rows if all(turn.record is None for turn in row.turns)]
    assert own and all(turn.role == ROLE for row in rows for turn in row.turns)
    asked = [(row.picture, turn.question) for row in own for turn in row.turns]
    assert answer(tiny, asked) == [turn.answer for row in own for turn in row.turns]
    assert material.notes["anchors"]["unlabelled_pictures"] == 4


def test_an_answer_that_gives_the_forgotten_away_is_no_anchor(
    tiny: VLM, data: Data, unlabelled: Path, tmp_path: Path
) -> None:
    """The untouched model may take a stranger for somebody who is to be forgotten."""
    stranger = read_unlabelled(unlabelled, required=True)
    material = material_for(SMALL, tiny, data, tmp_path)
    rows = behaviour_anchors(material, stranger, pictures=4, names=0, own=0)
    private = {record.question for record in material.forget}
    said = next(t for row in rows for t in row.turns if t.question in private and not t.record)
    lines = [record.model_dump(mode="json") for record in data.records]
    for line in lines:
        if line["split"] == "forget" and line["kind"] == "image_memory":
            line["answer"] = said.answer.upper()
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "images").symlink_to(data.folder / "images")
    (folder / "records.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    material = material_for(SMALL, tiny, read(folder), tmp_path)
    rows = behaviour_anchors(material, stranger, pictures=4, names=0, own=0)
    kept = [t for row in rows for t in row.turns if t.question in private and not t.record]
    assert all(turn.answer != said.answer for turn in kept)
    assert material.notes["anchors"]["given_away"] > 0


def test_no_retained_label_is_needed(
    tiny: VLM, data: Data, unlabelled: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "images").symlink_to(data.folder / "images")
    lines = [json.dumps(r.model_dump(mode="json")) for r in data.records if r.split != "few"]
    (folder / "records.jsonl").write_text("\n".join(lines) + "\n")
    method = SMALL.model_copy(update={"pictures": unlabelled})
    run = forget(tiny, read(folder), method=method, out=tmp_path / "run")
    assert run.info["records"]["few"] == 0
    assert not any("unlabelled" in warning for warning in run.info["checkup"]["warnings"])
    assert run.info["notes"]["anchors"]["few"] == 0


def test_without_unlabelled_pictures_the_run_says_so(tiny: VLM, data: Data, tmp_path: Path) -> None:
    run = forget(tiny, data, method=SMALL, out=tmp_path / "run")
    assert any("no unlabelled pictures" in said for said in run.info["checkup"]["warnings"])


@pytest.fixture(scope="module")
def run(checkpoint: Path, data: Data, unlabelled: Path, tmp_path_factory: Any) -> Run:
    from excise.vlm import load

    method = SMALL.model_copy(update={"pictures": unlabelled, "strength": "auto"})
    out = tmp_path_factory.mktemp("anchored") / "run"
    return forget(load(checkpoint, device="cpu"), data, method=method, out=out, seed=3)


def test_the_strength_is_the_smallest_that_forgets_and_the_curve_is_told(run: Run) -> None:
    dial = run.info["notes"]["dial"]
    asked = {point["strength"]: point["forget"] for point in dial["points"]}
    enough = [s for s, left in asked.items() if left <= TOLERANCE]
    assert dial["strength"] == (min(enough) if enough else GRID[-1])
    assert run.edit.branches[0].weight == dial["strength"]


def test_the_dial_turns_without_training(run: Run, tiny: VLM) -> None:
    """The change of every weight is the strength times what was trained."""
    name = f"{run.info['targets'][0]}.weight"
    before = tiny.model.get_parameter(name).detach().clone()
    moved = []
    for strength in (0.0, 1.0, 2.0):
        with run.turned(strength=strength).applied(tiny):
            moved.append(tiny.model.get_parameter(name).detach() - before)
    assert not moved[0].any() and moved[1].any()
    torch.testing.assert_close(moved[2], 2 * moved[1], rtol=1e-3, atol=1e-6)


def test_a_budget_leaves_all_other_entries_as_they_were(
    tiny: VLM, data: Data, unlabelled: Path, tmp_path: Path
) -> None:
    short = {"strength": 1, "lr": 0.02, "steps": 3, "batch": 4, "anchor_names": 1, "views": 0}
    method = make("anchored", {"budget": "2%", "pictures": str(unlabelled), **short})
    run = forget(tiny, data, method=method, out=tmp_path / "run")
    targets = run.info["targets"]
    before = {name: tiny.model.get_parameter(f"{name}.weight").detach().clone() for name in targets}
    with run.applied(tiny):
        changed = sum(
            int((tiny.model.get_parameter(f"{name}.weight") != weight).sum())
            for name, weight in before.items()
        )
    assert 0 < changed <= 0.02 * sum(weight.numel() for weight in before.values())


def test_a_budget_that_is_no_share_is_one_line() -> None:
    for given in ("0", "130%", "some%"):
        with pytest.raises(InputError, match="budget"):
            make("anchored", {"budget": given})


def test_the_run_says_nothing_of_where_the_pictures_lie(run: Run, unlabelled: Path) -> None:
    text = (run.folder / "run.json").read_text()
    assert str(unlabelled) not in text and unlabelled.name in text


def test_a_folder_without_pictures_is_one_line(tiny: VLM, data: Data, tmp_path: Path) -> None:
    for folder, what in ((tmp_path / "none", "no such folder"), (tmp_path, "holds no pictures")):
        method = make("anchored", {"pictures": str(folder)})
        with pytest.raises(InputError, match=what):
            forget(tiny, data, method=method, out=tmp_path / "run")


def test_pictures_that_are_damaged_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"nothing")
    found = read_unlabelled(tmp_path, required=True)
    with pytest.raises(InputError, match=r"a\.png"):
        list(found.pictures(range(1)))


def test_questions_go_with_the_pictures_of_their_folder(tmp_path: Path) -> None:
    for folder in ("", "scenes", "scenes/night"):
        (tmp_path / folder).mkdir(exist_ok=True)
        Image.new("RGB", (16, 16)).save(tmp_path / folder / "a.png")
    (tmp_path / "scenes" / "questions.txt").write_text("How many?\n\nWhich?\nHow many?\n")
    found = read_unlabelled(tmp_path, required=True)
    asked = {
        path.relative_to(tmp_path).as_posix(): found.asked(number)
        for number, path in enumerate(found.files)
    }
    both = ("How many?", "Which?")
    assert asked == {"a.png": (), "scenes/a.png": both, "scenes/night/a.png": both}


def test_what_is_unlabelled_has_a_fingerprint(unlabelled: Path) -> None:
    found = read_unlabelled(unlabelled, required=True)
    assert found.fingerprint() != Unlabelled(found.files[1:], found.names).fingerprint()
    assert found.fingerprint() != Unlabelled(found.files, found.names[1:]).fingerprint()
    asked = {unlabelled: ("What?",)}
    assert found.fingerprint() != Unlabelled(found.files, found.names, asked).fingerprint()
