"""The commands, on a miniature model where they need one."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import excise
from excise.cli import main
from excise.records.errors import InputError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two people's text questions; one may be forgotten, one is kept."""
    folder = tmp_path / "data"
    folder.mkdir()
    records = [
        {
            "id": f"{subject}-1",
            "subject": subject,
            "split": split,
            "kind": "text_memory",
            "image": None,
            "question": "Where does this person live?",
            "answer": "Riga",
        }
        for subject, split in (("p1", "forget"), ("p2", "retain"))
    ]
    (folder / "records.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    return folder


def test_inspect_names_parts_targets_and_memory(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(checkpoint)]) == 0
    out = capsys.readouterr().out
    rows = {line[:16].strip(): line for line in out.splitlines()}
    assert "Llava" in rows["class"]
    assert "vision_tower" in rows["vision tower"]
    assert "14 linear layers" in rows["adapted layers"]
    assert "rows pack" in rows["training"] and "MiB" in rows["memory, weights"]


def test_evaluate_writes_the_scores_and_shows_them(
    checkpoint: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "scores.json"
    words = ["--model", str(checkpoint), "--data", str(data), "--out", str(out)]
    assert main(["evaluate", *words, "--splits", "forget"]) == 0
    scores = json.loads(out.read_text())
    assert scores["schema"] == "excise.metrics/1"
    assert scores["splits"]["forget"]["text_memory"]["rouge_l"]["n"] == 1
    assert "retain" not in scores["splits"] or not scores["splits"]["retain"]
    assert "text memory" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--model": "nowhere/at/all"}, "nowhere/at/all: "),
        ({"--data": "nowhere"}, "nowhere: "),
        ({"--run": "nowhere"}, "nowhere: no such run folder"),
        ({"--splits": "forgot"}, 'did you mean "forget"'),
    ],
)
def test_evaluate_answers_a_wrong_word_with_a_line_and_writes_nothing(
    change: dict[str, str],
    message: str,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "scores.json"
    given = {"--model": "unused", "--data": str(data), "--out": str(out)} | change
    assert main(["evaluate", *(word for pair in given.items() for word in pair)]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert not out.exists()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The Python API below `excise forget`, replaced by something that notes what it is given."""
    seen: dict[str, Any] = {}

    def make(name: str, options: dict[str, str]) -> tuple[str, dict[str, str]]:
        if "kk" in options:
            raise InputError('unknown option "kk"; did you mean "k"?')
        return name, options

    def forget(vlm: Any, records: Any, **given: Any) -> Any:
        given.pop("progress")("forgetting", 1, 1)
        seen.update(given)
        info = {"targets": ["a", "b"], "checkup": {"warnings": ["nothing was forgotten"]}}
        return SimpleNamespace(folder=given["out"], info=info)

    methods = SimpleNamespace(METHODS={"anchored": None, "refusal": None}, make=make)
    monkeypatch.setattr(excise, "methods", methods, raising=False)
    monkeypatch.setattr(excise, "forget", forget, raising=False)
    monkeypatch.setattr(excise, "load", lambda source: seen.setdefault("model", source))
    return seen


def test_forget_hands_everything_over_and_names_the_run(
    api: dict[str, Any], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(f"model: tiny\ndata: {data}\nseed: 4\noptions: {{k: 9, lr: 1e-3}}\n")
    out = tmp_path / "run"
    assert main(["forget", "--config", str(config), "--out", str(out), "-o", "k=2"]) == 0
    assert api == {
        "model": "tiny",
        "method": ("anchored", {"k": "2", "lr": "1e-3"}),
        "out": out,
        "seed": 4,
        "upon": None,
    }
    printed = capsys.readouterr()
    assert f"run: {out}" in printed.out and "2 linear layers" in printed.out
    assert "warning: nothing was forgotten" in printed.out
    assert printed.err == "forgetting: 1/1, 0 s\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "refusl"], 'unknown method "refusl"; did you mean "refusal"?'),
        (["-o", "kk=2"], 'unknown option "kk"; did you mean "k"?'),
        (["-o", "k"], "expected key=value"),
    ],
)
def test_forget_finds_a_wrong_word_before_the_model_is_loaded(
    api: dict[str, Any],
    words: list[str],
    message: str,
    data: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["forget", "--model", "m", "--data", str(data), "--out", "o", *words]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert "model" not in api


def test_report_refuses_a_json_of_another_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report.json").write_text(json.dumps({"schema": "excise.run/1"}))
    assert main(["report", str(tmp_path)]) == 2
    assert "schema" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_sculpt_checks_its_words_before_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sculpt", "nowhere", "-o", "k=much"]) == 2
    assert "expected a number" in capsys.readouterr().err
    assert main(["sculpt", "nowhere", "-o", "k=2"]) == 2
    assert "nowhere: no such run folder" in capsys.readouterr().err
