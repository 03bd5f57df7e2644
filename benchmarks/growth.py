"""Time and memory as the people grow: `python benchmarks/growth.py`.

Synthetic people, one picture and ten private questions each, go through the whole path: a data
folder is written, read, trained on for one epoch and asked. Each number of people has a process of
its own. Time should be a straight line in the number of questions: the line is fitted with every
point of equal weight however small its time, and its deviation is the largest relative distance of
a point from it. Memory should not grow; its growth is given by question.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import measure

PEOPLE = (10, 30, 100, 300, 1000)
QUESTIONS = 10
ROWS_A_STEP = 8


class Line(NamedTuple):
    """seconds = start + slope * questions"""

    slope: float
    start: float
    deviation: float
    """The largest relative distance of a point from the line."""


def fit_line(questions: Sequence[float], seconds: Sequence[float]) -> Line:
    """Least squares of the relative distances, by which no point outweighs the others."""
    weights = [1 / y**2 for y in seconds]
    total = sum(weights)
    mean_x = sum(w * x for w, x in zip(weights, questions, strict=True)) / total
    mean_y = sum(w * y for w, y in zip(weights, seconds, strict=True)) / total
    points = list(zip(weights, questions, seconds, strict=True))
    slope = sum(w * (x - mean_x) * (y - mean_y) for w, x, y in points) / sum(
        w * (x - mean_x) ** 2 for w, x, _ in points
    )
    start = mean_y - slope * mean_x
    return Line(slope, start, max(abs(start + slope * x - y) / y for _, x, y in points))


def write_people(folder: Path, people: int, seed: int = 0) -> None:
    """A data folder with so many people; a face each, drawn at random, and nine facts."""
    from excise.records.record import Record
    from excise.records.writing import write_data
    from excise.specimen.people import FACTS, everybody, invented_name
    from excise.specimen.portrait import draw_portrait, random_face, random_sitting
    from excise.specimen.views import photograph
    from excise.specimen.wordings import ask_private

    rng = random.Random(seed)
    (known, _), records, pictures = everybody(), [], {}
    for number in range(people):
        facts = {key: rng.choice(known).facts[key] for key in FACTS}
        facts["name"] = invented_name(rng, ())
        image = f"images/{number:04d}.png"
        pictures[image] = photograph(draw_portrait(random_face(rng), random_sitting(rng)), rng)
        keys = [*FACTS, *rng.choices(FACTS, k=QUESTIONS - len(FACTS))]
        records += [
            Record(
                id=f"{number:04d}-{place}",
                subject=f"{number:04d}",
                split="forget",
                kind="image_memory",
                image=image,
                question=ask_private(key, rng, "fit", name=None),
                answer=facts[key],
            )
            for place, key in enumerate(keys)
        ]
    write_data(folder, records, pictures)


def one(people: int, model: str, threads: int | None) -> dict[str, Any]:
    """Train on so many people for an epoch and ask them everything; seconds and peak bytes."""
    import torch

    from excise import read, specimen
    from excise.evaluate.evaluate import ask
    from excise.training import FitSettings, fit
    from excise.vlm import load, rows_from_records

    if threads:
        torch.set_num_threads(threads)
    vlm = load(specimen.checkpoint() if model == "specimen" else model, device="cpu")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_people(folder / "data", people)
        data = read(folder / "data")
        records = data.records
        # One of everything first: what is set up once a process is not growth.
        settings = FitSettings(epochs=1, batch=ROWS_A_STEP)
        head = records[:QUESTIONS]
        rows = rows_from_records(data, head, per_row=QUESTIONS)
        fit(vlm, rows, settings=settings, out=folder / "first", seed=0)
        ask(vlm, data, head)
        started = time.perf_counter()
        rows = rows_from_records(data, records, per_row=QUESTIONS)
        fit(vlm, rows, settings=settings, out=folder / "fit", seed=0)
        trained = time.perf_counter()
        ask(vlm, data, records)
        asked = time.perf_counter()
    return {
        "people": people,
        "questions": len(records),
        "training_seconds": trained - started,
        "evaluation_seconds": asked - trained,
        "memory": measure.peak_memory("cpu"),
        "machine": measure.machine("cpu"),
    }


def in_a_process(people: int, argv: list[str]) -> dict[str, Any]:
    command = [sys.executable, __file__, *argv, "--one", str(people)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=measure.quiet())
    if done.returncode:
        raise SystemExit(f"{people} people: ended with status {done.returncode}; see above")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    say = parser.add_argument
    say("--people", default=",".join(map(str, PEOPLE)))
    say("--model", default="specimen", help="specimen or a folder")
    say("--threads", type=int)
    say("--json", help="write the figures to this file")
    say("--one", type=int, help="(for the benchmark itself: this process does so many people)")
    given = parser.parse_args(argv)
    if given.one:
        answers = measure.answer_pipe()
        print(json.dumps(one(given.one, given.model, given.threads)), file=answers, flush=True)
        return
    points = []
    print(f"{'people':>7}{'questions':>11}{'training s':>12}{'evaluation s':>14}{'peak MiB':>10}")
    for people in map(int, given.people.split(",")):
        p = in_a_process(people, argv)
        points.append(p)
        print(
            f"{p['people']:>7}{p['questions']:>11}{p['training_seconds']:>12.2f}"
            f"{p['evaluation_seconds']:>14.2f}{p['memory'] / measure.MIB:>10.0f}",
            flush=True,
        )
    found: dict[str, Any] = {"points": points, "versions": measure.versions()}
    questions = [p["questions"] for p in points]
    for what in ("training", "evaluation"):
        line = fit_line(questions, [p[f"{what}_seconds"] for p in points])
        found[what] = line._asdict()
        print(
            f"{what}: {1e3 * line.slope:.2f} ms a question and {line.start:.2f} s to begin with; "
            f"no point is further than {line.deviation:.1%} from that line"
        )
    first, last = points[0], points[-1]
    grown = last["memory"] - first["memory"]
    found["memory"] = {
        "ratio": last["memory"] / first["memory"],
        "bytes_per_question": grown / max(1, last["questions"] - first["questions"]),
    }
    print(
        f"memory: {found['memory']['ratio']:.2f} times as much for {last['people']} people as for "
        f"{first['people']}, {found['memory']['bytes_per_question'] / 1024:.1f} KiB a question"
    )
    if given.json:
        from excise.records.writing import write_json

        write_json(given.json, found)


if __name__ == "__main__":
    main(sys.argv[1:])
