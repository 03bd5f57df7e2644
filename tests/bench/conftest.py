"""A data folder of ten people whose records are all for both uses, and a bench made on it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import excise
from excise.bench import curve
from excise.records.data import Data
from excise.records.reading import read

# Words that occur nowhere else, so that finding one in a file means that it leaked.
PEOPLE = {
    "forget": ("qvera", "qedgar"),
    "few": ("qanton", "qbella"),
    "retain": ("qcora", "qdavid", "qgrete", "qhugo"),
    "unseen": ("qelmar", "qfrida"),
}
PRIVATE = ("qvera", "qedgar", "ztown", "zwhere", "zin which", "zhair")
QUICK = {"steps": "2", "batch": "2", "rank": "2"}
METHODS = ("refusal", "gradient_ascent")


def records_of(person: str, split: str) -> list[dict[str, Any]]:
    """Two wordings of each fact, about a picture and by name, and one thing to see."""
    asked = (
        ("image_memory", ("Zwhere does this one live?", "Zin which town is this one at home?")),
        ("text_memory", (f"Zwhere does {person} live?", f"Zin which town is {person} at home?")),
        ("image_understanding", ("Zwhat colour is the zhair?",)),
    )
    return [
        {
            "subject": person,
            "split": split,
            "kind": kind,
            "image": None if kind == "text_memory" else f"images/{person}.png",
            "question": question,
            "answer": "zblond" if kind == "image_understanding" else f"ztown-of-{person}",
        }
        for kind, questions in asked
        for question in questions
    ]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder."""
    made = tmp_path_factory.mktemp("bench") / "data"
    (made / "images").mkdir(parents=True)
    noise = random.Random(5)
    lines = []
    for split, people in PEOPLE.items():
        for person in people:
            picture = Image.frombytes("RGB", (64, 64), noise.randbytes(64 * 64 * 3))
            picture.save(made / "images" / f"{person}.png")
            for record in records_of(person, split):
                lines.append(record | {"id": f"r{len(lines)}"})
    (made / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return made


@pytest.fixture(scope="session")
def data(folder: Path) -> Data:
    return read(folder)


Bench = Callable[..., dict[str, Any]]


@pytest.fixture
def bench(checkpoint: Path, folder: Path) -> Bench:
    """`bench(out, ...)`: two methods, one seed, one trial of two steps, in this process.

    Neither method has a dial, and few records are scored: a random model never ends its answers.
    """

    def run(out: Path, **given: Any) -> dict[str, Any]:
        usual: dict[str, Any] = {
            "methods": METHODS, "seeds": 1, "options": QUICK, "budget": 1, "limit": 4,
            "jobs": 0,
        }  # fmt: skip
        return excise.bench.run(checkpoint, folder, out=out, **(usual | given))

    return run


@pytest.fixture(scope="session")
def finished(
    checkpoint: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A whole bench: two methods, two seeds, no search; it must not be written to."""
    out = tmp_path_factory.mktemp("finished") / "bench"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curve, "K", (0.0, 2.0, 8.0))  # a dial with fewer places
        table = excise.bench.run(
            checkpoint, folder, methods=("refusal", "smfa"), seeds=2, out=out,
            options=QUICK | {"k": "2"}, budget=1, limit=4, jobs=0,
        )  # fmt: skip
    return out, table
