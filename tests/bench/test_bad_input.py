"""What is wrong with a bench is one line, before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.bench.conftest import QUICK, Bench

import excise
from excise.cli import main
from excise.records.errors import InputError


@pytest.fixture(autouse=True)
def nobody_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading the model would be the first thing that costs anything."""
    from excise.bench import work

    monkeypatch.setattr(work, "load", None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"methods": ["refusl"]}, 'unknown method "refusl"; did you mean "refusal"?'),
        ({"methods": [" "]}, "no methods, expected all or some of "),
        ({"options": {"stps": "2"}}, 'unknown option "stps"; did you mean "steps"?'),
        ({"options": {"refusal.k": "2"}}, 'refusal: unknown option "k", expected one of '),
        ({"options": {"lr": "much"}}, "refusal: option lr=much: "),
        ({"budget": "0"}, "budget 0: expected trials"),
        ({"budget": "3y4"}, "budget 3y4: expected trials"),
        ({"budget": "3x4"}, "budget 3x4: the steps are given twice"),
        ({"search": "none"}, 'search "none": expected one of each, first'),
        ({"seeds": 0}, "seeds 0: expected at least one"),
        ({"ratios": [60]}, "ratio 60: expected a percentage"),
        ({"ratios": [45]}, "8 people are known, expected more than 8 for a ratio of 45 %"),
        ({"limit": -1}, "limit -1: expected 0 or more"),
        ({"jobs": -1}, "jobs -1: expected a number of processes"),
        ({"reference": "5/0=R"}, "belongs to no people of this bench, expected one path"),
        ({"grid": "nowhere.yaml"}, "nowhere.yaml: cannot be read as a grid"),
        ({"specimen": True}, "brings its own model and data"),
        ({"loading": {"quantize": "4bit"}}, "no run can be applied to 4-bit weights"),
        ({"finished": True}, "no bench there"),
    ],
)
def test_a_wrong_word_is_one_line(
    given: dict[str, Any], message: str, bench: Bench, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as raised:
        bench(tmp_path / "bench", **given)
    assert message in str(raised.value) and "\n" not in str(raised.value)
    assert not (tmp_path / "bench").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("methods: {refusal: {lrr: [1]}}", 'refusal: unknown option "lrr"; did you mean "lr"?'),
        ("methods: {refusal: {lr: [-1]}}", "refusal: option lr=-1: "),
        ("methods: {refusl: {}}", 'unknown method "refusl"; did you mean "refusal"?'),
        ("methods: {refusal: {lr: []}}", "refusal.lr: no values"),
        ("method: {}", 'unknown key "method"; did you mean "methods"?'),
        ("default: {lrr: [1]}", 'no method has an option "lrr"; did you mean "lr"?'),
        ("methods: [1]", "methods: expected names and values"),
        ("a: [", ":1: not valid YAML"),
    ],
)
def test_a_wrong_grid_is_one_line_that_names_the_file(
    content: str, message: str, bench: Bench, tmp_path: Path
) -> None:
    grid = tmp_path / "grid.yaml"
    grid.write_text(content)
    with pytest.raises(InputError) as raised:
        bench(tmp_path / "bench", grid=grid)
    assert str(raised.value).startswith(str(grid)) and message in str(raised.value)


def edited(folder: Path, out: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """The data folder with every record changed; None drops it."""
    out.mkdir()
    (out / "images").symlink_to(folder / "images")
    lines = map(json.loads, (folder / "records.jsonl").read_text().splitlines())
    kept = [json.dumps(made) + "\n" for line in lines if (made := change(line))]
    (out / "records.jsonl").write_text("".join(kept))
    return out


def test_a_method_without_the_labels_it_needs_is_one_line(
    checkpoint: Path, folder: Path, tmp_path: Path
) -> None:
    data = edited(folder, tmp_path / "data", lambda r: r if r["split"] != "few" else None)
    with pytest.raises(InputError, match="no records of split few, which refusal needs"):
        excise.bench.run(checkpoint, data, methods=["refusal"], out=tmp_path / "bench")


def test_people_without_records_to_learn_from_cannot_be_drawn(
    checkpoint: Path, folder: Path, tmp_path: Path
) -> None:
    data = edited(
        folder, tmp_path / "data",
        lambda r: r | {"use": "score"} if r["split"] == "retain" else r,
    )  # fmt: skip
    with pytest.raises(InputError, match="4 of 8 people have .* expected 6 for a ratio of 38 %"):
        excise.bench.run(checkpoint, data, methods=["refusal"], out=tmp_path / "bench", ratios=[38])


def test_a_folder_of_another_bench_is_one_line(
    checkpoint: Path, folder: Path, tmp_path: Path, finished: tuple[Path, dict[str, Any]]
) -> None:
    other = edited(folder, tmp_path / "data", lambda r: r | {"question": r["question"] + "!"})
    for model, data, named in (
        (checkpoint, other, "another data set"),
        (excise.specimen.checkpoint(), folder, "another model"),
    ):
        with pytest.raises(InputError, match=f"holds a bench of {named}"):
            excise.bench.run(model, data, methods=["refusal"], out=finished[0])


def test_a_folder_of_something_else_is_left_alone(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty and not a bench"):
        bench(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_reference_of_another_architecture_is_one_line(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a reference of another architecture .text hidden_size"):
        bench(tmp_path / "bench", reference=str(excise.specimen.checkpoint("retrained")))


def test_ray_that_is_not_installed_is_one_line(bench: Bench, tmp_path: Path) -> None:
    try:
        import ray  # noqa: F401
    except ImportError:
        with pytest.raises(InputError, match=r"pip install 'excise\[bench\]'"):
            bench(tmp_path / "bench", ray="local")
    else:
        pytest.skip("ray is installed here")


def test_the_command_line_says_it_in_one_line_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", "--specimen", "--methods", "refusal,smfaa", "--out", str(tmp_path / "b")]
    assert main(words) == 2
    err = capsys.readouterr().err
    assert err == 'excise: error: unknown method "smfaa"; did you mean "smfa"?\n'
    assert main([*words[:2], "--methods", "refusal", "--out", "b", "--ratios", "few"]) == 2
    assert "--ratios few: expected whole numbers" in capsys.readouterr().err


def test_the_command_makes_table_and_page(
    checkpoint: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.undo()
    out = tmp_path / "bench"
    options = [word for name, value in QUICK.items() for word in ("-o", f"{name}={value}")]
    words = ["bench", "--model", str(checkpoint), "--data", str(folder), "--out", str(out)]
    words += ["--methods", "refusal", "--seeds", "3,", "--budget", "1", "--jobs", "0"]
    assert main([*words, "--limit", "4", *options]) == 0
    printed = capsys.readouterr()
    assert "[2/2] refusal, as given, seed 3: " in printed.err
    assert f"page:  {out / 'bench.html'}" in printed.out and "understanding" in printed.out
    assert (out / "bench.html").read_text().startswith("<!doctype html>")
