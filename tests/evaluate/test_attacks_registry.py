from __future__ import annotations

from pathlib import Path

import pytest

from excise.evaluate.attacks import ATTACKS, FAMILIES, PRESETS, Options, Outcome, Target, attack
from excise.evaluate.attacks.run import plan
from excise.records.errors import InputError


def test_every_family_has_an_attack_in_standard() -> None:
    families = [tried.family for tried, _ in plan("standard")]
    assert [*dict.fromkeys(families)] == [*FAMILIES]


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_hold_valid_options(preset: str) -> None:
    for tried, options in plan(preset):
        assert isinstance(options, tried.options)
        assert tried.summary.endswith(".")
        assert tried.reference


def test_quick_tries_no_more_than_standard() -> None:
    quick, standard = ({tried.name for tried, _ in plan(p)} for p in ("quick", "standard"))
    assert quick < standard


def test_an_attack_that_is_named_is_tried_whatever_the_preset_says() -> None:
    left_out = {*ATTACKS} - {tried.name for tried, _ in plan("quick")}
    name = min(left_out)
    assert [tried.name for tried, _ in plan("quick", only=[name])] == [name]
    assert {tried.family for tried, _ in plan("quick", only=["prefill"])} == {"prefill"}


def test_options_change_one_attack() -> None:
    changed = {"sampled_answers": {"samples": "7"}}
    chosen = {tried.name: options for tried, options in plan("quick", options=changed)}
    assert chosen["sampled_answers"].model_dump() == {"samples": 7, "temperature": 1.0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "quik"}, 'unknown preset "quik".*quick'),
        ({"only": ["prefil"]}, 'unknown attack "prefil".*prefill'),
        ({"options": {"role_pla": {}}}, "role_play"),
        ({"options": {"crop": {"shre": 1}}}, 'crop: unknown option "shre".*share'),
        ({"options": {"crop": {"share": 7}}}, "crop: option share=7"),
    ],
)
def test_a_wrong_word_is_one_line(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        plan(**arguments)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


def test_an_attack_is_registered_once_and_with_typed_options() -> None:
    class Nothing(Options):
        """It has no options."""

    with pytest.raises(ValueError, match="registered already"):

        @attack("plain", reference="test")
        def plain(target: Target, options: Options) -> Outcome:
            return Outcome(0, {})

    with pytest.raises(ValueError, match="expected an argument"):

        @attack("plain", reference="test")
        def untyped(target: Target, options: int) -> Outcome:  # type: ignore[type-var]
            return Outcome(0, {})

    assert "untyped" not in ATTACKS


def test_the_documentation_has_every_attack_and_every_option() -> None:
    text = Path(__file__).parents[2].joinpath("docs", "attacks.md").read_text()
    for tried in ATTACKS.values():
        row = next((line for line in text.splitlines() if f"| `{tried.name}` |" in line), "")
        assert row, tried.name
        for name in tried.options.model_fields:
            assert f"`{name}" in row, (tried.name, name)
