"""How long it will take yet."""

from __future__ import annotations

import pytest

from excise.bench.clock import Clock, line, spoken


def test_nothing_is_foretold_before_anything_is_finished() -> None:
    assert Clock().left(["smfa"], 1) is None


def test_a_method_takes_what_it_took_and_an_unknown_one_what_others_took() -> None:
    clock = Clock()
    for method, seconds in (("slow", 90.0), ("slow", 110.0), ("fast", 20.0)):
        clock.note(method, seconds)
    assert clock.left(["slow", "fast"], 1) == 120
    assert clock.left(["slow", "fast"], 2) == 60
    assert clock.left(["never seen"], 1) == 60  # methods count alike, however often they ran


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(41.4, "41 s"), (89, "89 s"), (600, "10 min"), (3599, "1 h 0 min"), (12_000, "3 h 20 min")],
)
def test_times_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert spoken(seconds) == said


def test_a_line_of_progress() -> None:
    assert line(2, 9, "smfa, 5 %, seed 0", "95 s", 700.0) == (
        "[2/9] smfa, 5 %, seed 0: 95 s; about 12 min left"
    )
    assert line(9, 9, "x", "95 s", 0.0) == "[9/9] x: 95 s"
