"""Which edits have a dial, and where it can be put."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from excise.bench.curve import Dial
from excise.weights.edit import Branch, EditSpec
from excise.weights.run import Run

PLAIN = EditSpec(criterion="none", branches=(Branch(adapter="a"),))
SCULPTED = EditSpec(criterion="both", branches=(Branch(adapter="a", k=5.0),), anchor="b")
SUBTRACTED = EditSpec(criterion="none", branches=(Branch(adapter="a", weight=-2),), combine="sum")


def turned(edit: EditSpec, place: float) -> EditSpec:
    dial = Dial.of(edit)
    assert dial is not None
    info: dict[str, Any] = {}
    return dial.turned(Run(Path("nowhere"), info, edit), place).edit


def test_a_plain_adapter_has_no_dial() -> None:
    assert Dial.of(PLAIN) is None


def test_a_sculpted_edits_dial_is_k() -> None:
    dial = Dial.of(SCULPTED)
    assert dial is not None and (dial.name, dial.at) == ("k", 5.0)
    assert turned(SCULPTED, 2.0).branches[0].k == 2.0


def test_a_sums_dial_is_its_strength_and_keeps_its_sign() -> None:
    dial = Dial.of(SUBTRACTED)
    assert dial is not None and (dial.name, dial.at) == ("strength", 2.0)
    assert turned(SUBTRACTED, 0.25).branches[0].weight == -0.25
    assert turned(SUBTRACTED, dial.at or 0) == SUBTRACTED


def test_the_dial_of_weights_that_differ_is_a_factor_on_them() -> None:
    branches = (Branch(adapter="a", weight=-2), Branch(adapter="c", weight=0.5))
    for combine in ("sum", "ties"):
        density = 0.2 if combine == "ties" else None
        edit = EditSpec(criterion="none", branches=branches, combine=combine, density=density)
        dial = Dial.of(edit)
        assert dial is not None and (dial.name, dial.at) == ("weight", 1.0)
        assert [branch.weight for branch in turned(edit, 0.5).branches] == [-1, 0.25]


def test_branches_at_different_k_stand_nowhere_on_the_curve() -> None:
    two = EditSpec(
        criterion="both", anchor="b", branches=(Branch(adapter="a", k=1), Branch(adapter="c", k=2))
    )
    dial = Dial.of(two)
    assert dial is not None and dial.at is None
    assert {branch.k for branch in turned(two, 3.0).branches} == {3.0}
