from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from excise.methods import METHODS, SMFA, Refusal, make
from excise.methods.registry import option_names
from excise.records.errors import InputError
from excise.training.settings import FitSettings


def refused(name: str, options: dict[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        make(name, options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_options_a_method_has_its_published_settings() -> None:
    made = make("smfa", {})
    assert made == SMFA()
    assert (SMFA().k, SMFA().k_text, SMFA().branches, SMFA().criterion) == (5, 10, "joint", "both")
    assert SMFA().fit.model_dump(include={"rank", "alpha", "dropout", "lr", "batch", "epochs"}) == {
        "rank": 16,
        "alpha": 16,
        "dropout": 0.05,
        "lr": 1e-4,
        "batch": 2,
        "epochs": 5,
    }
    assert make("refusal", {}) == Refusal()


def test_words_of_a_command_line_become_typed_settings() -> None:
    words = {"k": "2", "k_text": "3.5", "criterion": "direction", "branches": "separate"}
    made = make("smfa", {**words, "lr": "1e-3", "steps": "7"})
    assert isinstance(made, SMFA)
    assert (made.k, made.k_text, made.criterion, made.branches) == (2, 3.5, "direction", "separate")
    assert made.fit == FitSettings(lr=1e-3, steps=7)
    assert make("smfa", {"k": "auto"}).holds_out and not made.holds_out


def test_the_anchor_follows_the_fit_except_where_it_is_set() -> None:
    made = make("smfa", {"lr": "1e-3", "steps": "9", "anchor.steps": "60", "anchor.rank": "4"})
    assert isinstance(made, SMFA)
    assert made.fit == FitSettings(lr=1e-3, steps=9)
    assert made.anchor == FitSettings(lr=1e-3, steps=60, rank=4)
    assert make("smfa", {"steps": "9"}).anchor is None  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "nearest"), [("refusl", "refusal"), ("SMFA", "smfa"), ("smf", "smfa")]
)
def test_an_unknown_method_is_named_with_the_nearest(name: str, nearest: str) -> None:
    assert f'unknown method "{name}"; did you mean "{nearest}"?' in refused(name, {})


def test_a_method_like_none_gets_the_list() -> None:
    assert all(name in refused("xyzzy", {}) for name in METHODS)


@pytest.mark.parametrize(
    ("method", "option", "nearest"),
    [
        ("smfa", "criterium", "criterion"),
        ("smfa", "stepz", "steps"),
        ("smfa", "anchor.step", "anchor.steps"),
        ("refusal", "rnak", "rank"),
    ],
)
def test_an_unknown_option_is_named_with_the_nearest(
    method: str, option: str, nearest: str
) -> None:
    message = refused(method, {option: "1"})
    assert f'{method}: unknown option "{option}"; did you mean "{nearest}"?' in message


@pytest.mark.parametrize("option", ["k", "anchor.steps", "fit", "anchor", "name"])
def test_what_is_no_option_of_the_method_is_refused(option: str) -> None:
    assert f'unknown option "{option}"' in refused("refusal", {option: "1"})


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"k": "lots"}, "k=lots"),
        ({"k": "-1"}, "k=-1"),
        ({"k": "nan"}, "k=nan"),
        ({"k": "inf"}, "k=inf"),
        ({"k_text": "-0.1"}, "k_text=-0.1"),
        ({"criterion": "bth"}, "criterion=bth"),
        ({"branches": "three"}, "branches=three"),
        ({"steps": "0"}, "steps=0"),
        ({"rank": "1.5"}, "rank=1.5"),
        ({"lr": "fast"}, "lr=fast"),
        ({"dropout": "1"}, "dropout=1"),
        ({"schedule": "quadratic"}, "schedule=quadratic"),
        ({"anchor.steps": "0"}, "steps=0"),
    ],
)
def test_a_wrong_value_is_named_with_its_option(options: dict[str, str], named: str) -> None:
    message = refused("smfa", options)
    assert message.startswith("smfa: option ") and named in message


def test_a_wrong_value_of_the_anchor_is_not_blamed_on_the_fit() -> None:
    assert "option anchor.steps=0" in refused("smfa", {"steps": "5", "anchor.steps": "0"})


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_option_that_a_method_lists_can_be_set_to_its_default(name: str) -> None:
    made = make(name, {})
    for option in option_names(METHODS[name]):
        part: Any = made
        if option.startswith("anchor.") or option in FitSettings.model_fields:
            part = FitSettings()
        value = getattr(part, option.removeprefix("anchor."))
        if value is not None:
            make(name, {option: str(value)})


def test_settings_are_frozen_and_closed() -> None:
    with pytest.raises(ValidationError):
        SMFA(kk=3)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        SMFA().k = 3  # type: ignore[misc]


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_says_what_it_is(name: str) -> None:
    method = METHODS[name]
    assert method.name == name
    assert method.kind and method.leaves and method.reference
    assert set(method.needs) <= {"few", "reference", "gradients", "activations", "memorised"}


def test_a_methods_own_settings_of_the_fit_stay_where_nothing_is_said() -> None:
    own, some = make("anchored", {}).fit, make("anchored", {"steps": "7"}).fit  # type: ignore[attr-defined]
    assert some == own.model_copy(update={"steps": 7}) and own.lr == "auto"
