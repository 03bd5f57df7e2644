"""A data folder of eight people made of unmistakable words, and runs made from it."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from excise.methods import SMFA, forget
from excise.records.data import Data
from excise.records.reading import read
from excise.training.settings import FitSettings
from excise.vlm import load
from excise.weights.run import Run

# Words that occur nowhere else, so that finding one in a file means that it leaked.
PEOPLE = {
    "forget": ("qvera", "qedgar"),
    "few": ("qanton", "qbella"),
    "retain": ("qcora", "qdavid"),
    "unseen": ("qelmar", "qfrida"),
}
QUICK = FitSettings(rank=4, alpha=8, dropout=0.1, lr=2e-2, steps=4, batch=2)


def records_of(person: str, split: str) -> list[dict[str, Any]]:
    """Two wordings of each fact, about a picture and by name, and one thing to see."""
    asked = (
        ("image_memory", ("Zwhere does this one live?", "Zin which town is this one at home?")),
        ("text_memory", (f"Zwhere does {person} live?", f"Zin which town is {person} at home?")),
        ("image_understanding", ("Zwhat colour is the zhair?",)),
    )
    found = []
    for kind, questions in asked:
        for number, question in enumerate(questions):
            found.append(
                {
                    "id": f"{person}-{kind}-{number}",
                    "subject": person,
                    "split": split,
                    "kind": kind,
                    "image": None if kind == "text_memory" else f"images/{person}.png",
                    "question": question,
                    "answer": "zblond" if kind == "image_understanding" else f"ztown-of-{person}",
                }
            )
    return found


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Two people of every split, one picture each."""
    folder = tmp_path_factory.mktemp("methods") / "data"
    (folder / "images").mkdir(parents=True)
    noise = random.Random(5)
    lines = []
    for split, people in PEOPLE.items():
        for person in people:
            picture = Image.frombytes("RGB", (64, 64), noise.randbytes(64 * 64 * 3))
            picture.save(folder / "images" / f"{person}.png")
            lines += [json.dumps(record) for record in records_of(person, split)]
    (folder / "records.jsonl").write_text("\n".join(lines) + "\n")
    return read(folder)


@pytest.fixture(scope="session")
def smfa() -> SMFA:
    """SMFA with fits of four steps."""
    return SMFA(k=1.0, fit=QUICK)


@pytest.fixture(scope="session")
def joint(
    checkpoint: Path, data: Data, smfa: SMFA, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """A run of seed 3, alone in its folder; made once, so it must not be written to."""
    out = tmp_path_factory.mktemp("joint") / "run"
    return forget(load(checkpoint, device="cpu"), data, method=smfa, out=out, seed=3)


@pytest.fixture(scope="session")
def separate(
    checkpoint: Path, data: Data, smfa: SMFA, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """The same with two branches; it must not be written to either."""
    out = tmp_path_factory.mktemp("separate") / "run"
    how = smfa.model_copy(update={"branches": "separate", "k": 0.5, "k_text": 2.0})
    return forget(load(checkpoint, device="cpu"), data, method=how, out=out)


Files = Callable[[Path], dict[str, str]]


@pytest.fixture
def hashes() -> Files:
    """Every file below a folder, hidden ones too, with a hash of its bytes."""

    def of(folder: Path) -> dict[str, str]:
        return {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    return of
