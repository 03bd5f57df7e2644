"""`-o key=value`, `--config run.yaml` and the words of `sculpt` and `--splits`."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from excise.cli.options import dial, job, known, pairs, split_names
from excise.records.errors import InputError

GIVEN = {"model": "m", "data": Path("d"), "out": Path("o"), "method": None, "seed": None}


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.from_regex(r"[^\s]{0,8}", fullmatch=True)
    )
)
def test_pairs_come_back_as_they_were_typed(options: dict[str, str]) -> None:
    assert pairs([f"{key}={value}" for key, value in options.items()]) == options


@pytest.mark.parametrize("option", ["k", "=5", " =5"])
def test_an_option_without_key_or_value_is_refused(option: str) -> None:
    with pytest.raises(InputError, match="expected key=value"):
        pairs([option])


def test_an_option_given_twice_is_refused() -> None:
    with pytest.raises(InputError, match="k is given twice"):
        pairs(["k=1", "k=2"])


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    return file


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, "model: a\nseed: 3\nmethod: refusal\noptions: {k: 5, joint: true}\n")
    wanted = job(file, GIVEN, ["k=2"])
    assert (wanted.model, wanted.seed, wanted.method) == ("m", 3, "refusal")
    assert wanted.options == {"k": "2", "joint": "true"}


def test_without_a_file_the_defaults_hold() -> None:
    wanted = job(None, GIVEN, [])
    assert (wanted.method, wanted.seed, wanted.options) == ("anchored", 0, {})


@pytest.mark.parametrize("key", ["model", "data", "out"])
def test_what_must_be_given_is_named_when_missing(key: str) -> None:
    with pytest.raises(InputError, match=f"--{key} is missing"):
        job(None, GIVEN | {key: None}, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modle: a", 'unknown key .* "modle"; did you mean "model"'),
        ("model: [a", "run.yaml:1: not valid YAML"),
        ("- a", "expected keys and values"),
        ("options: 5", "options: expected keys and values"),
        ("options: {k: [1, 2]}", "options.k: expected one plain value"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        job(write(tmp_path, text), GIVEN, [])
    assert "run.yaml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: no such file"):
        job(tmp_path / "none.yaml", GIVEN, [])


def test_an_unknown_word_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match='unknown method "smfaa"; did you mean "smfa"'):
        known("smfaa", ["refusal", "smfa"], "method")
    with pytest.raises(InputError, match="expected one of refusal, smfa"):
        known("xyz", ["refusal", "smfa"], "method")


def test_the_dial_is_one_number_or_one_a_branch() -> None:
    assert dial(["k=2", "criterion=both"]) == {"k": 2.0, "criterion": "both"}
    assert dial(["k.forgetting-text=10"]) == {"k": {"forgetting-text": 10.0}}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "nothing to turn"),
        (["k=two"], "-o k=two: expected a number"),
        (["j=2"], 'unknown option "j"'),
        (["criterium=both"], 'did you mean "criterion"'),
        (["k=1", "k.forgetting=2"], "exclude each other"),
    ],
)
def test_a_wrong_dial_is_refused(options: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        dial(options)


def test_splits_are_separated_by_commas_and_checked() -> None:
    assert split_names("forget, retain") == ["forget", "retain"]
    with pytest.raises(InputError, match='unknown split "retian"; did you mean "retain"'):
        split_names("forget,retian")
    with pytest.raises(InputError, match="expected some of"):
        split_names(",")
