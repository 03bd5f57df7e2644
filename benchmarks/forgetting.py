"""SMFA against refusal tuning on the specimen, on several seeds: `python benchmarks/forgetting.py`.

Each seed forgets five other people of the hundred, by the demo (`excise demo --seed N`), with the
dial chosen on a held-out part of what the method may see. Prints, in ROUGE-L with 95 % intervals by
person, the models side by side; the dial's curve and how far it ever moves against its direction;
and the ablation of the mask, mean over seeds, beside the paper's table (arXiv 2511.20196).
About five minutes a seed on two cores; an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from excise import demo
from excise.cli.progress import progress

COLUMNS = (
    ("forget image ↓", "forget", "image_memory"),
    ("forget text ↓", "forget", "text_memory"),
    ("retain image ↑", "retain", "image_memory"),
    ("retain text ↑", "retain", "text_memory"),
    ("sees forgotten ↑", "forget", "image_understanding"),
    ("sees retained ↑", "retain", "image_understanding"),
    ("sees unseen ↑", "unseen", "image_understanding"),
)


CURVE = ("forget_memory", "retain_memory", "understanding")


def figure(model: dict[str, Any], split: str, kind: str) -> dict[str, float]:
    found: dict[str, float] = model["metrics"]["splits"][split][kind]["rouge_l"]
    return found


def cells(model: dict[str, Any]) -> str:
    found = [figure(model, split, kind) for _, split, kind in COLUMNS]
    return " | ".join(f"{f['mean']:.3f} [{f['low']:.2f}, {f['high']:.2f}]" for f in found)


def against_direction(points: list[dict[str, Any]], name: str, falling: bool) -> float:
    """The largest step of a curve that goes the wrong way as k grows."""
    means = [point[name]["mean"] for point in points]
    steps = [b - a for a, b in pairwise(means)]
    return max(0.0, *(step if falling else -step for step in steps))


def at_equal_forgetting(dial: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Refusal tuning, and the smallest k of the curve that forgets at least as much."""
    refusal = dial["reference"]["refusal"]
    bound = refusal["forget_memory"]["mean"]
    points = [p for p in dial["points"] if p["forget_memory"]["mean"] <= bound]
    return (refusal, min(points, key=lambda p: p["k"])) if points else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--out", type=Path, default=Path("runs/forgetting"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    reports: dict[int, dict[str, Any]] = {}
    for seed in map(int, given.seeds.split(",")):
        with progress() as tell:
            page = demo.run(given.out / f"seed-{seed}", seed, progress=tell)
        reports[seed] = json.loads((page.parent / "report.json").read_text())

    print("| seed | model | " + " | ".join(name for name, *_ in COLUMNS) + " |")
    print("|---|---|" + "---|" * len(COLUMNS))
    means: dict[str, dict[str, float]] = {}
    for seed, report in reports.items():
        for model in report["models"]:
            k = f", k = {report['dial']['chosen_k']:g}" if model["key"] == "after" else ""
            print(f"| {seed} | {model['label']}{k} | {cells(model)} |")
    for key in ("before", "refusal", "after"):
        models = [m for r in reports.values() for m in r["models"] if m["key"] == key]
        means[key] = {c: fmean(figure(m, s, t)["mean"] for m in models) for c, s, t in COLUMNS}
        row = " | ".join(f"{value:.3f}" for value in means[key].values())
        print(f"| mean | {models[0]['label']} | {row} |")

    dial = {}
    print("\nThe dial: ROUGE-L of forgotten memory / retained memory / understanding at each k")
    for seed, report in reports.items():
        points = report["dial"]["points"]
        dial[seed] = {name: against_direction(points, name, falling=True) for name in CURVE}
        for p in points:
            trio = (p[n]["mean"] for n in CURVE)
            print(f"seed {seed} k={p['k']:g}: " + " / ".join(f"{value:.3f}" for value in trio))
        worst = ", ".join(f"{name} {value:.3f}" for name, value in dial[seed].items())
        print(f"seed {seed}, largest step against the direction: {worst}")

    print("\nAt equal or stronger forgetting: the smallest k of the curve that leaves no more than")
    print("refusal tuning does. Forgotten memory / retained memory / understanding")
    equal = {seed: at_equal_forgetting(report["dial"]) for seed, report in reports.items()}
    for seed, pair in equal.items():
        if pair is None:
            print(f"seed {seed}: no k of the curve forgets as much")
            continue
        for label, p in (("refusal tuning", pair[0]), (f"SMFA, k={pair[1]['k']:g}", pair[1])):
            cell = " / ".join(
                "{mean:.3f} [{low:.3f}, {high:.3f}]".format(**p[name]) for name in CURVE
            )
            print(f"seed {seed}, {label}: {cell}")

    print("\nAblation, mean over seeds, ours / the paper's:")
    ablation: dict[str, Any] = {}
    tables = [report["ablation"]["rows"] for report in reports.values()]
    for rows in zip(*tables, strict=True):
        name, paper = rows[0]["criterion"], rows[0]["paper"]
        ours = {column: fmean(row["ours"][column] for row in rows) for column in paper}
        ablation[name] = {"ours": ours, "paper": paper}
        print(f"{name}: " + ", ".join(f"{c} {ours[c]:.3f} / {paper[c]:.3f}" for c in paper))
    if given.json:
        given.json.write_text(
            json.dumps({"means": means, "dial": dial, "ablation": ablation}, indent=1)
        )


if __name__ == "__main__":
    main()
