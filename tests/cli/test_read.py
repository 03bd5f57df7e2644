"""`excise read`: a benchmark becomes a folder that the other commands take as it is.

The benchmark's files hold people of the specimen's world, so that there is a model that knows them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from tests.records import published

from excise import specimen
from excise.cli import boundary
from excise.specimen.curriculum import see_portrait
from excise.specimen.people import FACTS, Person, chosen, everybody
from excise.specimen.wordings import ask_private

Line = dict[str, Any]


def row(person: Person, others: Sequence[Person], rng: random.Random) -> Line:
    """A person of the specimen in the columns of MLLMU-Bench."""
    stream = BytesIO()
    see_portrait(person.face, rng, "score", 1).picture.save(stream, "PNG")
    keys = [key for key in FACTS if key != "name"]

    def asked(key: str, name: str | None) -> str:
        return ask_private(key, rng, "score", name=name, eye=False)

    def open_(key: str, name: str | None) -> Line:
        door = "Image_Textual" if name is None else "Pure_Text"
        truth = person.facts[key]
        return {"Type": door, "Question": asked(key, name), "Ground_Truth": truth}

    def choice(key: str, name: str | None) -> Line:
        texts = [person.facts[key], *(other.facts[key] for other in others[:3])]
        options = dict(zip("ABCD", rng.sample(texts, 4), strict=True))
        right = next(letter for letter, text in options.items() if text == person.facts[key])
        return {"Question": asked(key, name), "Options": options, "Correct_Answer": right}

    name = person.facts["name"]
    return {
        "image": {"bytes": stream.getvalue(), "path": None},
        "ID": person.id,
        "Classification_Task": {
            "Image_Textual_Questions": [choice(key, None) for key in ("city", "job")],
            "Pure_Text_Questions": [choice(key, name) for key in ("city", "job")],
        },
        "Generation_Task": [open_(key, n) for key in keys for n in (None, name)],
        "Mask_Task": [open_(key, n) for key in ("city", "phone") for n in (None, name)],
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark")
    rng = random.Random(0)
    forgotten = chosen(5, 0)[0][:2]
    known = everybody()[0]
    others = [person for person in known if person not in forgotten][:5]
    rows = [row(person, known[-3:], rng) for person in (*forgotten, *others)]
    published.table(folder / "forget_5/train-00000-of-00001.parquet", rows[:2])
    published.table(folder / "retain_95/train-00000-of-00001.parquet", rows[2:])
    return folder


def excise(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """Run a command that must succeed, and what it prints."""
    code = boundary.main([str(word) for word in words])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    return shown.out


def test_a_folder_of_a_benchmark_is_evaluated_and_forgotten_from_like_any_other(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, model = tmp_path / "data", specimen.checkpoint("original")
    said = excise(capsys, "read", "--format", "mllmu-bench", source, "--out", data, "--few", 2)
    assert "note: ft_Data is not there" in said and f"data: {data}" in said
    scores = tmp_path / "scores.json"
    excise(capsys, "evaluate", "--model", model, "--data", data, "--out", scores)
    cells = json.loads(scores.read_text())["splits"]
    assert set(cells) == {"forget", "few", "retain"}
    for kind in ("image_memory", "text_memory"):
        figures = cells["forget"][kind]
        assert figures["exact"]["n"] == 16 and figures["exact"]["mean"] > 0.5  # it knows them
        assert figures["choice"]["n"] == figures["cloze"]["n"] == 4
        assert figures["fact"]["n"] == 24
    run = tmp_path / "run"
    options = ("-o", "steps=2", "-o", "batch=2")
    excise(
        capsys, "forget", "--model", model, "--data", data, "--method", "refusal",
        "--out", run, *options,
    )  # fmt: skip
    assert (run / "run.json").is_file()


def test_a_mistake_is_one_line_and_leaves_nothing(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    code = boundary.main(
        ["read", str(source), "--format", "mllmu-bench", "--forget", "20", "--out", str(data)]
    )
    assert code == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "excise: error: --forget 20: mllmu-bench publishes 5, 10, 15 (percent of its people), "
        "expected one of these"
    ]
    assert not data.exists()
