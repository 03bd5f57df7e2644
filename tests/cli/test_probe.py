"""`excise probe`: what it shows, what it hides, and what it writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

import excise
from excise.cli.probe_commands import probe
from excise.records.errors import InputError
from excise.records.reading import read
from excise.specimen.people import everybody

QUESTIONS = (
    "city: Where does {person} live?\n"
    "city: In which city does {person} live?\n"
    "city: What is the home town of {person}?\n"
)
PERSON = everybody()[0][3]


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "questions.txt"
    path.write_text(QUESTIONS, "utf-8")
    return path


def _run(*words: str | Path) -> Result:
    app = typer.Typer()
    app.command()(probe)
    return CliRunner().invoke(app, [str(word) for word in words])


def _asked(questions: Path, *words: str | Path) -> Result:
    model = excise.specimen.checkpoint("original")
    return _run("--model", model, "--name", PERSON.name, "--questions", questions, *words)


def test_marks_are_shown_and_answers_are_not(questions: Path, tmp_path: Path) -> None:
    result = _asked(questions, "--out", tmp_path / "data")
    assert result.exit_code == 0, result.output
    assert "known" in result.output and "control rate" in result.output
    assert PERSON.facts["city"] not in result.output
    assert PERSON.name not in result.output
    assert {record.answer for record in read(tmp_path / "data").records} == {PERSON.facts["city"]}


def test_answers_are_shown_in_clear_if_wanted(questions: Path) -> None:
    assert PERSON.facts["city"] in _asked(questions, "--cleartext").output


def test_nothing_is_written_of_somebody_unknown(questions: Path, tmp_path: Path) -> None:
    model = excise.specimen.checkpoint("original")
    words = ["--model", model, "--name", "Xenia Unheardof", "--questions", questions]
    result = _run(*words, "--out", tmp_path / "data")
    assert result.exit_code == 0, result.output
    assert "nothing is known" in result.output
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "neither a picture nor a name"),
        (["--image", "nowhere.png"], "nowhere.png: is missing"),
        (["--name", "Ada Lund", "--questions", "{broken}"], "broken.txt:2: no {person}"),
        (["--name", "Ada Lund", "--out", "{full}"], "is not empty"),
        (["--name", "Ada Lund", "--control-pictures", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_a_mistake_is_told_before_the_model_is_loaded(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*given: object, **how: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(excise, "load", load)
    (tmp_path / "broken.txt").write_text(QUESTIONS.splitlines()[0] + "\ncity: Where?\n", "utf-8")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    places = {"{broken}": str(tmp_path / "broken.txt"), "{full}": str(tmp_path / "full")}
    result = _run("--model", "m", *(places.get(word, word) for word in words))
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)
