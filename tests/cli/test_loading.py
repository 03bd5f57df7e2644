"""The options of `excise.load` are those of every command that loads a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import excise
from excise.cli import boundary
from excise.cli.options import job

GIVEN = [
    "--dtype", "bfloat16", "--device-map", "auto", "--quantize", "4bit",
    "--max-image-tokens", "64", "--part", "vision_tower=model.eye", "--part", "projector=model.way",
]  # fmt: skip
EXPECTED = {
    "dtype": "bfloat16",
    "device_map": "auto",
    "quantize": "4bit",
    "max_image_tokens": 64,
    "parts": {"vision_tower": "model.eye", "projector": "model.way"},
}


class Loaded(Exception):
    """Ends a command where it loads its model."""


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    calls: list[tuple[str, dict[str, Any]]] = []

    def load(source: str, **how: Any) -> None:
        calls.append((source, how))
        raise Loaded

    monkeypatch.setattr(excise, "load", load, raising=False)
    monkeypatch.setattr(excise, "read", lambda folder: None, raising=False)
    return calls


@pytest.mark.parametrize(
    "command",
    [
        ["inspect", "m"],
        ["evaluate", "--model", "m", "--data", "d", "--out", "scores.json"],
        ["forget", "--model", "m", "--data", "d", "--out", "r"],
    ],
)
def test_every_command_that_loads_takes_the_options_of_load(
    loaded: list[tuple[str, dict[str, Any]]],
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    boundary.main(command)
    boundary.main([*command, *GIVEN])
    assert loaded == [("m", {}), ("m", EXPECTED)]


def test_they_may_stand_in_the_file_of_a_job(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(
        "model: m\ndata: d\nout: r\ndtype: float16\nquantize: 4bit\n"
        "device_map: {model: 0, lm_head: cpu}\n"
    )
    found = job(tmp_path / "run.yaml", {"dtype": "bfloat16"}, [])
    assert found.loading == {
        "dtype": "bfloat16",
        "quantize": "4bit",
        "device_map": {"model": 0, "lm_head": "cpu"},
    }


def test_a_part_without_a_module_is_one_line(
    loaded: list[tuple[str, dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert boundary.main(["inspect", "m", "--part", "vision_tower"]) == 2
    assert "--part vision_tower: expected NAME=MODULE" in capsys.readouterr().err
    assert loaded == []
