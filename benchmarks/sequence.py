"""Requests one after another: `python benchmarks/sequence.py --requests 20 --batch 4`.

The people of the specimen's forget set ask in batches. Each batch's run is made upon the one before
(`excise forget --upon`): a new adapter, trained with all earlier ones on the model and held to the
untouched model. After every batch all who have asked so far are asked about again, together with
everybody else. With `--way apart` each batch's run is made on the untouched model instead and
stacked onto the others. An interrupted one goes on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import fmean
from typing import Any

from excise import specimen
from excise.cli.progress import progress
from excise.demo.scores import MEMORY, SEEING, Scorer
from excise.evaluate.scoring import score_each
from excise.methods import forget, make
from excise.records.data import Data
from excise.records.reading import read
from excise.records.record import Record
from excise.records.writing import write_json
from excise.specimen import dataset
from excise.vlm.load import VLM, load
from excise.weights.run import Run
from excise.weights.stack import stack


def of(data: Data, asked: set[str]) -> Data:
    """What there is when these people ask; whoever comes later is nobody's business yet."""
    kept = tuple(r for r in data.records if r.split != "forget" or r.subject in asked)
    return Data(data.folder, kept, data.embedded)


def figures(scorer: Scorer, vlm: VLM, name: str, asked: set[str], limit: int) -> dict[str, Any]:
    """Means over those who have asked so far, and over everybody else."""
    scores = scorer(name, vlm, limit)
    found = score_each(scores.records, [scores.answers[r.id] for r in scores.records])
    each = dict(zip([r.id for r in scores.records], found, strict=True))

    def mean(metric: str, records: list[Record]) -> float:
        values = [each[r.id][metric] for r in records if metric in each[r.id]]
        return fmean(values) if values else 0.0

    forgotten = [r for r in scores.records if r.subject in asked and r.split == "forget"]
    private = [r for r in forgotten if r.kind in MEMORY]
    unseen = [r for r in scores.records if r.split == "unseen" and r.kind not in MEMORY]
    return {
        "forgotten": mean("rouge_l", private),
        "sees_forgotten": mean("rouge_l", [r for r in forgotten if r.kind in SEEING]),
        "retained": scores.rouge(["retain"], MEMORY),
        "retained_image": scores.rouge(["retain"], ["image_memory"]),
        "retained_text": scores.rouge(["retain"], ["text_memory"]),
        "sees_unseen": scores.rouge(["unseen"], SEEING),
        "general": scores.rouge(["unseen"], ["general"]),
        "captions": mean("cider", unseen),
        "boxes": mean("iou", unseen),
        "refusals": mean("refusal", unseen),
        "each": {
            subject: mean("rouge_l", [r for r in private if r.subject == subject])
            for subject in sorted(asked)
        },
    }


def line(point: dict[str, Any]) -> str:
    worst = max(point["each"].values())
    return (
        f"left {point['forgotten']:.3f} (of one person at most {worst:.3f}), "
        f"retained {point['retained_image']['mean']:.3f} {point['retained_text']['mean']:.3f}, "
        f"sees forgotten {point['sees_forgotten']:.3f}, "
        f"unseen {point['sees_unseen']['mean']:.3f}, scenes {point['general']['mean']:.3f}, "
        f"captions {point['captions']:.2f}, boxes {point['boxes']:.3f}, "
        f"refusals {point['refusals']:.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--batch", type=int, default=4, help="requests a run")
    parser.add_argument("--way", choices=("upon", "apart"), default="upon")
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
    points = [{"requests": 0, **figures(scorer, vlm, "before", {*people}, given.limit)}]
    print(f"before: {line(points[0])}", flush=True)
    runs: list[Run] = []
    for done in range(0, len(people), given.batch):
        number = min(done + given.batch, len(people))
        upon = given.way == "upon"
        asked = {*people[0 if upon else done : number]}
        started = time.monotonic()
        with progress() as tell:
            runs.append(
                forget(vlm, of(data, asked), method=method, out=given.out / f"run-{number:02d}",
                       upon=runs[-1] if upon and runs else None, seed=given.seed, progress=tell)
            )  # fmt: skip
        seconds = time.monotonic() - started
        now = runs[-1]
        if not upon:
            place = given.out / f"stack-{number:02d}"
            now = Run.load(place) if place.is_dir() else stack(runs, place)
        with now.applied(vlm):
            point = figures(scorer, vlm, f"after-{number:02d}", {*people[:number]}, given.limit)
        points.append({"requests": number, "seconds": seconds, **point})
        print(f"{number} requests, {seconds:.0f} s: {line(point)}", flush=True)
    if given.json:
        write_json(given.json, {"points": points, "method": given.method, "way": given.way})


if __name__ == "__main__":
    main()
