"""Requests one after another: `python benchmarks/sequence.py --requests 20`.

Each person of the specimen's forget set asks alone: a run of one's own on the untouched model,
which is then stacked onto those before (`excise stack`). After every few requests all who have
asked so far are asked about again, together with everybody else. An interrupted one goes on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from excise import specimen
from excise.cli.progress import progress
from excise.demo.scores import MEMORY, SEEING, Scorer
from excise.evaluate.scoring import score_each
from excise.methods import forget, make
from excise.records.data import Data
from excise.records.reading import read
from excise.records.writing import write_json
from excise.specimen import dataset
from excise.vlm.load import load
from excise.weights.run import Run
from excise.weights.stack import stack


def alone(data: Data, subject: str) -> Data:
    """What is there when one person asks: of the forget set that person's records alone."""
    kept = tuple(r for r in data.records if r.split != "forget" or r.subject == subject)
    return Data(data.folder, kept, data.embedded)


def figures(scorer: Scorer, vlm: Any, name: str, asked: set[str], limit: int) -> dict[str, Any]:
    """Means over those who have asked so far, and over everybody else."""
    scores = scorer(name, vlm, limit)
    forgotten = [r for r in scores.records if r.subject in asked]
    found = score_each(scores.records, [scores.answers[r.id] for r in scores.records])
    each = dict(zip([r.id for r in scores.records], found, strict=True))

    def mean(records: list[Any]) -> float:
        return sum(each[r.id]["rouge_l"] for r in records) / max(1, len(records))

    private = [r for r in forgotten if r.kind in MEMORY]
    return {
        "forgotten": mean(private),
        "sees_forgotten": mean([r for r in forgotten if r.kind in SEEING]),
        "retained": scores.rouge(["retain"], MEMORY),
        "sees_unseen": scores.rouge(["unseen"], SEEING),
        "general": scores.rouge(["unseen"], ["general"]),
        "each": {
            subject: mean([r for r in private if r.subject == subject]) for subject in sorted(asked)
        },
    }


def line(point: dict[str, Any]) -> str:
    worst = max(point["each"].values())
    return (
        f"left {point['forgotten']:.3f} (of one person at most {worst:.3f}), "
        f"retained {point['retained']['mean']:.3f}, sees forgotten {point['sees_forgotten']:.3f}, "
        f"unseen {point['sees_unseen']['mean']:.3f}, scenes {point['general']['mean']:.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--every", type=int, default=5, help="score after so many requests")
    parser.add_argument("--method", default="anchored")
    parser.add_argument("--option", "-o", action="append", default=[], help="key=value")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=160, help="records of each split and kind")
    parser.add_argument("--out", type=Path, default=Path("runs/sequence"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    folder = given.out / "data"
    if not folder.is_dir():
        dataset.write(folder, given.requests, given.seed)  # of a hundred people
    data, vlm = read(folder), load(specimen.checkpoint("original"))
    method = make(given.method, dict(option.split("=", 1) for option in given.option))
    scorer = Scorer(data, given.out, given.seed)
    people = data.subjects("forget")[: given.requests]
    points = [{"requests": 0, **figures(scorer, vlm, "before", set(people), given.limit)}]
    runs: list[Run] = []
    started = time.monotonic()
    for number, person in enumerate(people, 1):
        with progress() as tell:
            out = given.out / f"request-{number:02d}"
            runs.append(forget(vlm, alone(data, person), method=method, out=out, seed=given.seed,
                               progress=tell))  # fmt: skip
        if number % given.every and number != len(people):
            continue
        place = given.out / f"stack-{number:02d}"
        stacked = Run.load(place) if place.is_dir() else stack(runs, place)
        with stacked.applied(vlm):
            point = figures(scorer, vlm, f"after-{number:02d}", set(people[:number]), given.limit)
        points.append({"requests": number, **point})
        print(f"{number} requests, {time.monotonic() - started:.0f} s: {line(point)}", flush=True)
    if given.json:
        write_json(given.json, {"points": points, "method": given.method})


if __name__ == "__main__":
    main()
