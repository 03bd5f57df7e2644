"""The whole path on the specimen: a miniature of it, and (slow) the claims on the real thing.

The miniature is the shipped checkpoint with ten of its people, twelve steps and two questions in
each place: enough to see every part work together and the figures move the right way.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from excise import specimen
from excise.cli import main
from excise.records.reading import read
from excise.records.record import Split
from excise.records.writing import write_data
from excise.specimen import dataset
from excise.specimen.people import Person, chosen, everybody

OPTIONS = ("steps=12", "batch=4", "lr=8e-3", "schedule=constant", "k=2")


def people(split: Split) -> list[Person]:
    """Two of the forgotten and two of the few at 5 %, seed 0; four others, two strangers."""
    forgotten, few = chosen(5, 0)
    known, strangers = everybody()
    taken = {person.id for person in (*forgotten, *few)}
    others = [person for person in known if person.id not in taken]
    return {
        "forget": forgotten[:2],
        "few": few[:2],
        "retain": others[:4],
        "unseen": list(strangers[:2]),
    }[split]


@pytest.fixture(scope="module")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of the specimen, cut down."""
    folder = dataset.Folder(random.Random(0))
    splits: tuple[Split, ...] = ("forget", "few", "retain", "unseen")
    for split in splits:
        for person in people(split):
            if split in ("forget", "few"):
                for view in (dataset.View("a", False, 9, 4), dataset.View("eye-a", True, 9, 3)):
                    folder.add_view(person, view, split, "fit")
                folder.add_named(person, "fit-a", 8, split, "fit")
            folder.add_view(person, dataset.View("x", False, 4, 3), split, "score")
            folder.add_named(person, "name", 3, split, "score")
    folder.add_scene(0)
    out = tmp_path_factory.mktemp("miniature") / "data"
    write_data(out, folder.records, folder.pictures)
    return out


@pytest.fixture(scope="module")
def model() -> str:
    return str(specimen.checkpoint("original"))


@pytest.fixture(scope="module")
def run(miniature: Path, model: str) -> Path:
    """`excise forget`, and then another dial."""
    out = miniature.parent / "run"
    words = ["forget", "--model", model, "--data", str(miniature), "--out", str(out)]
    words += ["--method", "smfa"]
    assert main([*words, *(word for option in OPTIONS for word in ("-o", option))]) == 0
    assert main(["sculpt", str(out), "-o", "k=5"]) == 0
    return out


Metrics = dict[str, Any]


@pytest.fixture(scope="module")
def scores(run: Path, miniature: Path, model: str) -> dict[str, Metrics]:
    """`excise evaluate` before and after."""
    found = {}
    for key, applied in (("before", []), ("after", ["--run", str(run)])):
        out = miniature.parent / f"{key}.json"
        words = ["evaluate", "--model", model, "--data", str(miniature), "--out", str(out)]
        assert main([*words, *applied]) == 0
        found[key] = json.loads(out.read_text(encoding="utf-8"))
    return found


def rouge(metrics: Metrics, split: str, kind: str) -> float:
    mean: float = metrics["splits"][split][kind]["rouge_l"]["mean"]
    return mean


def memory(metrics: Metrics, split: str) -> float:
    return sum(rouge(metrics, split, kind) for kind in ("image_memory", "text_memory")) / 2


def test_forgetting_learns_refusals_and_the_anchor_what_is_kept(run: Path) -> None:
    info = json.loads((run / "run.json").read_text(encoding="utf-8"))
    forgetting, anchor = (info["losses"][name] for name in ("forgetting", "anchor"))
    assert len(forgetting) == len(anchor) == 12
    assert sum(forgetting[-3:]) < 0.7 * sum(forgetting[:3])
    assert info["base"]["id"] == "original"
    assert "there was nothing to forget" not in " ".join(info["checkup"]["warnings"])


def test_the_memory_of_the_forgotten_falls_and_more_than_that_of_the_others(
    scores: dict[str, Metrics],
) -> None:
    before, after = scores["before"], scores["after"]
    assert memory(before, "forget") > 0.7  # there is something to forget
    lost = {split: memory(before, split) - memory(after, split) for split in ("forget", "retain")}
    assert lost["forget"] > 0.3
    assert lost["forget"] > lost["retain"]
    assert rouge(after, "unseen", "image_understanding") > 0.5


def test_every_figure_is_there_with_its_interval(scores: dict[str, Metrics]) -> None:
    for metrics in scores.values():
        assert metrics["schema"] == "excise.metrics/1"
        for split in ("forget", "few", "retain", "unseen"):
            for kind in ("image_memory", "text_memory", "image_understanding"):
                cell = metrics["splits"][split][kind]
                for name in ("rouge_l", "exact", "refusal", "fact", "meaningful"):
                    score = cell[name]
                    assert score["low"] <= score["mean"] <= score["high"] and score["n"] >= 6
        assert set(metrics["overall"]) >= {"memory", "understanding", "meaningful"}
    assert scores["before"]["run"] is None and scores["after"]["run"].startswith("smfa-")


def test_the_report_is_one_page_of_it_that_names_nobody(
    scores: dict[str, Metrics], run: Path, miniature: Path
) -> None:
    folder = miniature.parent / "report"
    folder.mkdir()
    report = {
        "schema": "excise.report/1",
        "title": "Two people forgotten",
        "created": "2026-01-02",
        "clear": False,
        "asked": {"people": ["person-3fa1c2", "person-90be11"], "records": 52, "pictures": 4},
        "models": [
            {"key": key, "label": key.capitalize(), "metrics": metrics}
            for key, metrics in scores.items()
        ],
        "settings": {"method": "smfa", "k": 5.0},
        "not_tested": ["Relearning."],
    }
    (folder / "report.json").write_text(json.dumps(report))
    assert main(["report", str(folder)]) == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Two people forgotten" in page and "person-3fa1c2" in page and "Relearning." in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    for person in (*people("forget"), *people("few")):
        assert person.name not in page and person.facts["address"] not in page
    assert str(miniature.parent) not in page


def test_nothing_private_is_in_the_run(run: Path, miniature: Path) -> None:
    text = "".join(path.read_text() for path in sorted(run.rglob("*.json")))
    for person in (*people("forget"), *people("few")):
        for key in ("name", "address", "salary", "phone"):
            assert person.facts[key] not in text
    assert not [r.id for r in read(miniature).records if r.question in text]


# The claims, on the specimen itself with the demo's settings. Minutes each.

SEEDS = (0, 1, 2)
Demo = Callable[[int], dict[str, Any]]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """report.json of `excise demo`, run as a user does; once for each seed."""
    reports: dict[int, dict[str, Any]] = {}

    def of(seed: int) -> dict[str, Any]:
        if seed not in reports:
            out = tmp_path_factory.mktemp("demo") / "out"
            source = str(Path(specimen.__file__).parents[2])
            paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
            subprocess.run(
                [sys.executable, "-m", "excise", "demo", "--out", str(out), "--seed", str(seed)],
                check=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            )
            assert (out / "report.html").is_file()
            reports[seed] = json.loads((out / "report.json").read_text(encoding="utf-8"))
        return reports[seed]

    return of


def model_of(report: dict[str, Any], key: str) -> Metrics:
    return next(model["metrics"] for model in report["models"] if model["key"] == key)


@pytest.mark.slow
def test_the_demo_uses_its_settings_and_stays_within_three_gibibytes(demo: Demo) -> None:
    from excise.demo import SETTINGS

    report = demo(0)
    assert SETTINGS.k == "auto"
    for name, value in SETTINGS.fit.model_dump().items():
        assert report["settings"][name] == value
    assert report["provenance"]["peak_memory_mib"] <= 3 * 1024


@pytest.mark.slow
def test_the_original_knows_and_sees_and_the_retrained_model_never_met_the_five(
    demo: Demo,
) -> None:
    before, retrained = (model_of(demo(0), key) for key in ("before", "retrained"))
    for split in ("forget", "retain"):
        for kind in ("image_memory", "text_memory"):
            assert before["splits"][split][kind]["exact"]["mean"] >= 0.9
        assert rouge(before, split, "image_understanding") >= 0.9
    assert rouge(before, "unseen", "image_understanding") >= 0.9
    assert before["splits"]["unseen"]["general"]["iou"]["mean"] >= 0.6
    for kind in ("image_memory", "text_memory"):
        assert rouge(retrained, "forget", kind) <= 0.15  # some answers can be guessed
        assert abs(rouge(retrained, "retain", kind) - rouge(before, "retain", kind)) <= 0.05


@pytest.mark.slow
def test_refusal_tuning_forgets_and_refuses_far_too_much(demo: Demo) -> None:
    before, refusal = (model_of(demo(0), key) for key in ("before", "refusal"))
    assert rouge(refusal, "forget", "image_memory") <= 0.05
    assert memory(refusal, "retain") < 0.6 * memory(before, "retain")


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_the_mask_keeps_more_at_equal_forgetting(seed: int, demo: Demo) -> None:
    after, refusal = (model_of(demo(seed), key) for key in ("after", "refusal"))
    for kind in ("image_memory", "text_memory"):
        bound = refusal["splits"]["forget"][kind]["rouge_l"]
        assert rouge(after, "forget", kind) <= max(bound["high"], bound["mean"] + 0.05)
    assert memory(after, "retain") > memory(refusal, "retain")
    seen = {
        key: sum(rouge(m, s, "image_understanding") for s in ("forget", "retain", "unseen"))
        for key, m in (("after", after), ("refusal", refusal))
    }
    assert seen["after"] > seen["refusal"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_unseen_pictures_are_understood_as_before_at_the_chosen_k(seed: int, demo: Demo) -> None:
    before, after = (model_of(demo(seed), key) for key in ("before", "after"))
    then, now = (rouge(m, "unseen", "image_understanding") for m in (before, after))
    assert now >= 0.95 * then


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("what", ["forget_memory", "retain_memory", "understanding"])
def test_the_dial_moves_one_way_within_noise(what: str, seed: int, demo: Demo) -> None:
    """A larger k cuts less, so it forgets more and keeps less; noise is half an interval."""
    points = [point[what] for point in sorted(demo(seed)["dial"]["points"], key=lambda p: p["k"])]
    assert len(points) >= 5
    for place, lower in enumerate(points):
        for upper in points[place + 1 :]:
            noise = max((p["high"] - p["low"]) / 2 for p in (lower, upper))
            assert upper["mean"] <= lower["mean"] + noise
    if what == "forget_memory":
        assert points[-1]["high"] < points[0]["low"]


@pytest.mark.slow
def test_k_was_chosen_on_the_grid_and_the_ablation_stands_beside_the_papers(demo: Demo) -> None:
    from excise.methods.dial import GRID

    report = demo(0)
    assert report["dial"]["chosen_k"] in GRID
    rows = {row["criterion"]: row for row in report["ablation"]["rows"]}
    assert set(rows) == {"original", "none", "direction", "magnitude", "both"}
    for row in rows.values():
        assert row["ours"].keys() == row["paper"].keys() and None not in row["ours"].values()
