"""The gate: what passes, what fails and by how much, and what a wrong file is answered with."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from excise.evaluate.figure_names import FIGURES, description, is_figure, spelt_out
from excise.evaluate.gate import Gate
from excise.evaluate.intervals import Figure
from excise.records.errors import InputError


def figure(mean: float, low: float | None = None, high: float | None = None, n: int = 9) -> Figure:
    return Figure(
        mean=mean, low=mean if low is None else low, high=mean if high is None else high, n=n
    )


def gate(text: str) -> Gate:
    return Gate.parse(text, "gate.yaml")


LEAK = "leak.any: {at_most: 0.05, bound: high}"


def test_a_bound_is_held_against_the_threshold_and_not_the_mean() -> None:
    judged = gate(LEAK).judge({"leak.any": figure(0.01, 0.0, 0.08)})
    assert not judged["passed"]
    assert judged["lines"] == [
        {
            "figure": "leak.any",
            "bound": "high",
            "at_most": 0.05,
            "value": 0.08,
            "status": "failed",
            "by": pytest.approx(0.03),
        }
    ]
    assert gate("leak.any: {at_most: 0.05}").judge({"leak.any": figure(0.01, 0, 0.08)})["passed"]
    low = gate("kept.memory: {at_least: 0.9, bound: low}")
    assert low.judge({"kept.memory": figure(0.95, 0.8)})["lines"][0]["by"] == pytest.approx(0.1)


def test_a_figure_on_its_threshold_passes_whatever_the_last_bit_is() -> None:
    for value in (0.05, math.nextafter(0.05, 1), 0.1 + 0.2 - 0.25):
        judged = gate("leak.any: {at_most: 0.05}").judge({"leak.any": figure(value)})
        assert judged["passed"] and judged["lines"][0]["by"] == 0.0
    assert not gate("leak.any: {at_most: 0.05}").judge({"leak.any": figure(0.0501)})["passed"]


def test_several_thresholds_on_one_figure_are_all_held() -> None:
    both = gate("privleak:\n  - {at_least: -20}\n  - {at_most: 20}\n")
    assert both.judge({"privleak": figure(3.0)})["passed"]
    for value, statuses in ((-30.0, ["failed", "passed"]), (30.0, ["passed", "failed"])):
        judged = both.judge({"privleak": figure(value)})
        assert [line["status"] for line in judged["lines"]] == statuses
        assert not judged["passed"]


@pytest.mark.parametrize(
    "missing",
    [{}, {"kept.memory": None}, {"kept.memory": figure(0.1, n=0)},
     {"kept.memory": figure(math.nan)}],
)  # fmt: skip
def test_what_was_not_measured_neither_passes_nor_fails_and_is_listed(
    missing: dict[str, Figure | None],
) -> None:
    text = f"{LEAK}\nkept.memory: {{at_least: 0.9}}\n"
    judged = gate(text).judge({"leak.any": figure(0.0), **missing})
    assert judged["passed"]
    assert judged["not_measured"] == ["kept.memory"]
    assert judged["lines"][1]["status"] == "not measured"
    assert judged["lines"][1]["by"] is None


def test_a_bound_that_is_missing_is_not_measured_though_the_mean_is_there() -> None:
    half = {"leak.any": {"mean": 0.0, "n": 3}}
    judged = gate(LEAK).judge(half)  # type: ignore[arg-type]
    assert judged["lines"][0]["status"] == "not measured"


def test_a_line_may_need_its_figure() -> None:
    needed = gate("leak.any: {at_most: 1, needs: measured}\nkept.memory: {at_least: 0}")
    judged = needed.judge({"kept.memory": figure(1.0)})
    assert not judged["passed"]
    assert judged["lines"][0]["status"] == "failed" and judged["lines"][0]["value"] is None


def test_a_gate_that_could_decide_nothing_is_not_passed() -> None:
    assert not gate(LEAK).judge({})["passed"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "gate.yaml: is empty"),
        ("# nothing\n", "gate.yaml: is empty"),
        ("{}", "gate.yaml: is empty"),
        ("- a", "gate.yaml:1: a figure: expected keys and values"),
        ("leak.any: [a", "gate.yaml:1: not valid YAML"),
        ("leak.any: {at_most: 0.1}\nleak.al: {at_most: 1}",
         'gate.yaml:2: unknown figure "leak.al"; did you mean "leak.a'),
        ("kept.memry: {at_least: 1}", 'did you mean "kept.memory"'),
        ("before.leak.anny: {at_least: 1}", 'did you mean "before.leak.any"'),
        ("kept.understanding.unsen: {at_least: 1}", 'did you mean "kept.understanding.unseen"'),
        ("leak.any: {atmost: 1}", 'unknown key "atmost"; did you mean "at_most"'),
        ("leak.any: {bound: high}", "expected one of at_most and at_least"),
        ("leak.any: {at_most: 1, at_least: 0}", "expected one of at_most and at_least"),
        ("leak.any: 0.05", "leak.any: a threshold: expected keys and values"),
        ("leak.any:", "leak.any: a threshold: expected keys and values"),
        ("leak.any: []", "leak.any: no threshold"),
        ("leak.any:\n  - {at_most: 1}\n  - 3", "gate.yaml:3: leak.any: a threshold"),
        ("leak.any: {at_most: high}", "leak.any: at_most: expected a number"),
        ("leak.any: {at_most: '1'}", "expected a number"),
        ("leak.any: {at_most: .nan}", "expected a number"),
        ("leak.any: {at_most: .inf}", "expected a number"),
        ("leak.any: {at_most: true}", "expected a number"),
        ("leak.any: {at_most: }", "expected a number"),
        ("leak.any: {at_most: [1]}", "expected a number"),
        ("leak.any: {at_most: 1e999}", "expected a number"),
        ("leak.any: {at_most: 1, bound: hi}", "bound: expected mean, low, high"),
        ("leak.any: {at_most: 1, bound: [low]}", "bound: expected mean, low, high"),
        ("leak.any: {at_most: 1, needs: yes}", "needs: expected measured"),
        ("leak.any: {at_most: 1}\nleak.any: {at_most: 2}", "gate.yaml:2: .*is given twice"),
        ("leak.any: {at_most: 1, at_most: 2}", "at_most is given twice"),
        ("? [a]\n: {at_most: 1}", "expected a name"),
        ("a: &a [*a]", "gate.yaml:1: unknown figure"),
        ("<<: {at_most: 1}", "unknown figure"),
        ("leak.any: {at_most: 1}\n---\nleak.any: {at_most: 1}", "not valid YAML"),
        ("[" * 5000, "not valid YAML"),
        ("leak.any: !!python/object:os.system {at_most: 1, by: 2}", "unknown key"),
    ],
)  # fmt: skip
def test_a_wrong_gate_is_one_line_that_names_the_place(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        gate(text)
    assert str(caught.value).startswith("gate.yaml") and "\n" not in str(caught.value)


def test_a_number_may_be_written_as_numbers_are_written() -> None:
    for text, value in (("1e-3", 0.001), ("-.5", -0.5), ("+2", 2.0), ("5.", 5.0), ("0", 0.0)):
        assert gate(f"leak.any: {{at_most: {text}}}").lines[0].threshold == value


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: no such file"):
        Gate.read(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="cannot be read as a gate"):
        Gate.read(tmp_path)
    (tmp_path / "gate.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"gate\.yaml"):
        Gate.read(tmp_path / "gate.yaml")


def test_a_json_file_is_a_gate_too(tmp_path: Path) -> None:
    (tmp_path / "gate.json").write_text('{"leak.any": [{"at_most": 0.1}, {"at_least": -1}]}')
    assert len(Gate.read(tmp_path / "gate.json").lines) == 2


def test_every_side_split_and_set_has_figures_and_nothing_else() -> None:
    for name in ("before.leak.any", "reference.privleak", "probability.unseen", "leak.plain"):
        assert is_figure(name)
    assert is_figure("general.mine.rouge_l") and is_figure("before.general.a.b.cider")
    for name in ("leak", "after.leak.any", "probability.all", "leak.any.low", "", "before."):
        assert not is_figure(name)
    assert description("reference.leak.any") == FIGURES["leak.any"]
    assert all(is_figure(name) for name in spelt_out())


def test_every_family_of_attacks_has_a_figure() -> None:
    from excise.evaluate.attacks.registry import FAMILIES

    assert all(f"leak.{family}" in FIGURES for family in FAMILIES)


def test_check_takes_what_was_measured_and_names_what_cannot_be() -> None:
    Gate.default().check([])
    line = replace(gate(LEAK).lines[0], figure="leak.new_family")
    Gate((line,)).check(["leak.new_family"])
    with pytest.raises(InputError, match='gate.yaml:1: unknown figure "leak.any2"; .*"leak.any"'):
        Gate((replace(line, figure="leak.any2"),)).check(["leak.any"])


# What the issue asks of the default gate, on figures such as the specimen's.
GOOD = {
    "leak.any": figure(0.01, -0.03, 0.06, 115),
    "leak.plain": figure(0.01, 0.0, 0.03, 115),
    "leak.worst_person": figure(0.05),
    "refusal.unseen": figure(0.0),
    "meaningful": figure(10.0),
}
NEEDED = {"leak.any", "leak.plain", "leak.worst_person", "meaningful"}
KEPT = {
    name: figure(value)
    for name, value in {
        "kept.memory": 0.984,
        "kept.understanding.forget": 0.994,
        "kept.understanding.retain": 0.99,
        "kept.understanding.unseen": 1.003,
        "kept.captions": 0.979,
        "kept.grounding": 1.0,
        "kept.general": 0.987,
    }.items()
}


def failed(figures: dict[str, Figure]) -> set[str]:
    judged = Gate.default().judge(figures)
    assert judged["passed"] == (not any(x["status"] == "failed" for x in judged["lines"]))
    return {line["figure"] for line in judged["lines"] if line["status"] == "failed"}


def test_the_default_gate_fails_the_untouched_model_by_its_leak() -> None:
    leak = {"leak.any": figure(0.93, 0.9, 0.97), "leak.plain": figure(0.98, 0.95, 1.0)}
    assert failed(GOOD | leak) == {"leak.any", "leak.plain"}


def test_the_default_gate_passes_a_model_that_never_saw_the_data() -> None:
    like = {"forget_quality": figure(1.0), "privleak": figure(0.0)}
    assert failed(GOOD) == set()
    assert failed(GOOD | KEPT | like) == set()


def test_the_default_gate_fails_one_person_in_five_who_is_still_known() -> None:
    assert "leak.any" in failed(GOOD | KEPT | {"leak.any": figure(0.2, 0.0, 0.6)})


def test_the_default_gate_fails_a_model_that_always_refuses() -> None:
    refusing = {"refusal.unseen": figure(1.0)}
    assert failed(GOOD | refusing) == {"refusal.unseen"}
    nothing = {name: figure(0.02) for name in KEPT}
    assert set(KEPT) <= failed(GOOD | nothing | refusing)


def test_the_default_gate_fails_a_destroyed_model_though_it_tells_nothing() -> None:
    silent = {"leak.any": figure(0.0), "leak.plain": figure(0.0), "meaningful": figure(1.1)}
    assert "meaningful" in failed(GOOD | silent)
    assert failed(GOOD | silent | {n: figure(0.0) for n in KEPT}) == {"meaningful", *KEPT}


def test_the_default_gate_holds_a_reference_against_both_directions() -> None:
    for value in (-100.0, 60.0):
        assert failed(GOOD | {"privleak": figure(value)}) == {"privleak"}
    assert failed(GOOD | {"forget_quality": figure(0.001)}) == {"forget_quality"}


def test_the_default_gate_does_not_pass_what_was_hardly_measured() -> None:
    assert failed({"kept.memory": figure(1.0)}) == NEEDED


def test_one_person_missed_among_many_fails_though_the_mean_is_low() -> None:
    assert failed(GOOD | {"leak.worst_person": figure(0.9)}) == {"leak.worst_person"}


def test_relearning_fails_the_default_gate_and_is_not_judged_where_weights_stay() -> None:
    relearnt = GOOD | KEPT | {"leak.relearning": figure(0.6)}
    assert failed(relearnt) == {"leak.relearning"}
    assert Gate.read("served").judge(relearnt)["passed"]


def test_a_file_of_a_shipped_gates_name_is_taken_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("served").write_text("meaningful: {at_least: 9}")
    assert [line.figure for line in Gate.read("served").lines] == ["meaningful"]
