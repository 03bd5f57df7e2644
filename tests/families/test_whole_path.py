"""Every family from forgetting to a run folder, onto the model, off it again, and from disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.families.checkpoints import FAMILIES
from tests.families.conftest import FamilyCheckpoint

from excise.methods import SMFA, forget
from excise.records.data import Data
from excise.records.reading import read
from excise.training.settings import FitSettings
from excise.vlm import load
from excise.vlm.generation import answer
from excise.weights.run import Run

QUICK = FitSettings(rank=2, alpha=16, lr=2e-2, steps=2, batch=2)


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory, shapes: list[Image.Image]) -> Data:
    """One person to forget and one to keep, with pictures of different shapes."""
    folder = tmp_path_factory.mktemp("people") / "data"
    (folder / "images").mkdir(parents=True)
    lines = []
    for person, split, picture in (("vera", "forget", shapes[0]), ("anton", "few", shapes[2])):
        picture.save(folder / "images" / f"{person}.png")
        for kind, image in (("image_memory", f"images/{person}.png"), ("text_memory", None)):
            for number, question in enumerate(("Where is the home?", "What is the work of it?")):
                record = {"id": f"{person}-{kind}-{number}", "subject": person, "split": split}
                record |= {"kind": kind, "image": image, "question": question, "answer": "Riga."}
                lines.append(json.dumps(record))
    (folder / "records.jsonl").write_text("\n".join(lines) + "\n")
    return read(folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_made_to_forget_and_comes_back_bit_for_bit(
    family: str, family_checkpoint: FamilyCheckpoint, people: Data, tmp_path: Path
) -> None:
    folder = family_checkpoint(family)
    vlm = load(folder, device="cpu")
    before = {name: tensor.clone() for name, tensor in vlm.model.state_dict().items()}

    run = forget(vlm, people, method=SMFA(k=5.0, fit=QUICK, pool=2), out=tmp_path / "run")
    assert len(run.info["targets"]) == 2 * 7
    alone = "one question each: its picture tokens see the question"
    assert run.info["rows"] == (alone if family == "paligemma" else "packed")
    assert all(name.startswith(f"{vlm.parts.language_model}.") for name in run.info["targets"])
    assert all(loss > 0 for losses in run.info["losses"].values() for loss in losses)
    _unchanged(before, vlm.model.state_dict())

    loaded = Run.load(tmp_path / "run")
    anew = load(folder, device="cpu")
    loaded.apply(anew)
    changed = {
        name for name, tensor in anew.model.state_dict().items() if not tensor.equal(before[name])
    }
    # A layer that looks at pictures has no gradient from questions without one, but some have one.
    assert changed == {f"{name}.weight" for name in run.info["targets"]}
    asked = [(people.picture(people.records[0]), "Where is the home?"), (None, "What is it?")]
    forgotten = answer(anew, asked, max_new_tokens=3)
    loaded.remove(anew)
    _unchanged(before, anew.model.state_dict())

    other = load(folder, device="cpu")
    with Run.load(tmp_path / "run").applied(other):
        assert answer(other, asked, max_new_tokens=3) == forgotten


def _unchanged(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> None:
    assert set(before) == set(after)
    for name, tensor in after.items():
        assert tensor.equal(before[name]), name
