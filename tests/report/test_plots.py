from __future__ import annotations

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from excise.report.figures import Figure
from excise.report.heatmap import heat_map_panels
from excise.report.labels import Label, crosses, place
from excise.report.plots import axis, dial_panels

Report = dict[str, Any]
FRAME = (0.0, 0.0, 400.0, 300.0)


def around(x: float, y: float) -> tuple[float, float, float, float]:
    return (x - 6, y - 6, x + 6, y + 6)


points = st.lists(
    st.tuples(st.floats(10, 390), st.floats(10, 290)), min_size=1, max_size=12, unique=True
)


@settings(max_examples=40, deadline=None)
@given(points)
def test_labels_never_cover_each_other_and_stay_in_the_frame(at: list[tuple[float, float]]) -> None:
    labels = [Label(x, y, f"k={i}") for i, (x, y) in enumerate(at)]
    placed = place(labels, FRAME, [around(*p) for p in at])
    boxes = [p.box for p in placed]
    assert placed
    for i, a in enumerate(boxes):
        assert a[0] >= 0 and a[1] >= 0 and a[2] <= 400 and a[3] <= 300
        for b in boxes[i + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_a_label_that_must_stay_survives_a_crowd() -> None:
    labels = [Label(200, 150, "crowd", must=i == 7) for i in range(40)]
    placed = place(labels, FRAME, [around(200, 150)] * 40)
    assert any(p.label.must for p in placed) and len(placed) < 40


def test_a_segment_crosses_a_box_only_where_it_does() -> None:
    box = (10.0, 10.0, 20.0, 20.0)
    assert crosses((0, 15, 30, 15), box) and crosses((12, 12, 13, 13), box)
    assert not crosses((0, 0, 30, 5), box) and not crosses((15, 0, 15, 9), box)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_an_axis_holds_every_figure_and_has_few_round_ticks(means: list[float]) -> None:
    scale = axis([Figure(m, max(0, m - 0.02), min(1, m + 0.02)) for m in means], 50, 400)
    assert 3 <= len(scale.ticks) <= 9
    assert all(49.99 <= scale(m) <= 400.01 for m in means)
    assert scale.ticks[-1] - scale.ticks[0] >= 0.3 - 1e-9
    assert all(len(f"{tick:g}") <= 5 for tick in scale.ticks)


def test_the_dial_shows_each_k_the_chosen_one_and_the_references(report: Report) -> None:
    panels = dial_panels(report["dial"])
    assert [p.title for p in panels] == ["Retained memory", "Understanding"]
    for panel in panels:
        assert set(re.findall(r'<text class="name [^>]*>([^<]*)</text>', panel.svg)) == {
            "k=0.5", "k=5", "k=10", "before", "refusal tuning", "retrained",
        }  # fmt: skip
        assert re.findall(r'<g class="mark chosen">.*?<title>([^:]*):', panel.svg) == ["k=5"]
        assert panel.svg.count('class="whisker"') == 2 * 6


def test_points_are_joined_in_the_order_of_k(report: Report) -> None:
    report["dial"]["points"].reverse()
    path = re.search(
        r'<polyline class="curve" points="([^"]*)"', dial_panels(report["dial"])[0].svg
    )
    assert path is not None
    xs = [float(pair.split(",")[0]) for pair in path.group(1).split()]
    assert xs == sorted(xs, reverse=True)  # a larger k forgets more


def test_no_dial_or_a_dial_without_figures_draws_nothing() -> None:
    assert dial_panels(None) == [] and dial_panels({"points": []}) == []
    assert dial_panels({"points": [{"k": 1, "forget_memory": None}]}) == []


def test_one_series_alone_and_no_intervals_still_draw() -> None:
    panels = dial_panels({"points": [{"k": 1, "forget_memory": 0.2, "understanding": 0.9}]})
    assert [p.title for p in panels] == ["Understanding"]


def test_the_map_shows_shares_of_the_whole_change(report: Report) -> None:
    before, after, cut = heat_map_panels(report["map"])
    assert re.findall(r"<title>([^<]*)</title>", before.svg) == [
        "layer 0, q: 10.0 %",
        "layer 0, down: 30.0 %",
        "layer 1, q: 20.0 %",
        "layer 1, down: 40.0 %",
    ]
    assert "layer 0, down: 15.0 %" in after.svg
    assert "layer 1, down" not in after.svg  # null: a layer without that matrix
    assert "layer 1, down: 40.0 %" in cut.svg


def test_a_map_of_many_layers_or_none_draws(report: Report) -> None:
    grid = [[0.1] * 7 for _ in range(80)]
    names = [f"matrix_with_a_long_name_{i}" for i in range(7)]
    panels = heat_map_panels({"layers": list(range(80)), "matrices": names, "cut": grid})
    assert panels[0].svg.count("<title>") == 560 and "rotate(" in panels[0].svg
    assert heat_map_panels(None) == [] and heat_map_panels({"layers": []}) == []


def test_a_change_of_nothing_draws_without_dividing_by_zero(report: Report) -> None:
    zero = {**report["map"], "energy_before": [[0.0, 0.0], [0.0, 0.0]], "cut": None}
    assert len(heat_map_panels(zero)) == 2
