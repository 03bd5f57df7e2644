"""Twenty people of the specimen, a request each, in five batches.

    python benchmarks/desk_twenty.py --out FOLDER [--requests 20] [--batches 5] [--json FILE]

Real training with the default method, every batch audited with all before it. At the end: are all
released, are all still forgotten, and what is left of the rest, held against the `served` gate's
lines? People are asked plainly, through the same pictures and wordings that nothing was trained on,
on the last release as it would be served. It may be killed and started again as often as one
likes: the same command goes on where it was. Ledger, runs and releases stay in FOLDER.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import excise
from excise import specimen
from excise.desk.ledger import Ledger, Submission
from excise.desk.work import Worker
from excise.desk.work.auditing import returned
from excise.erasure.key_files import make_key
from excise.evaluate.evaluate import ask
from excise.evaluate.leak import leaked
from excise.evaluate.scoring import METRICS
from excise.records.data import Data
from excise.records.writing import write_json
from excise.specimen import dataset
from excise.vlm.load import VLM, load
from excise.vlm.weights_hash import hash_weights, weight_files

MODEL = "specimen"
FORGOTTEN, KEPT_MEMORY, KEPT_SIGHT = 0.05, 0.90, 0.95
"""Lines of the `served` gate: what comes back at most, what stays at least."""


def people_of(folder: Path, count: int) -> dict[str, Data]:
    """A folder a person, drawn from as many seeds of the specimen's data as it takes."""
    found: dict[str, Data] = {}
    for seed in range(100):
        place = folder / f"seed-{seed}"
        if not (place / "records.jsonl").is_file():
            dataset.write(place, 15, seed)
        data = excise.read(place)
        for name in data.subjects("forget"):
            if name not in found and len(found) < count:
                mine = tuple(r for r in data.records if r.subject == name)
                found[name] = Data(place, mine, data.embedded)
        if len(found) == count:
            return found
    raise SystemExit(f"the specimen has fewer than {count} people to forget")


def others_of(folder: Path) -> Path:
    """Everybody: whoever asks to be forgotten is left out by the desk."""
    place = folder / "others"
    if not (place / "records.jsonl").is_file():
        dataset.write(place, 5, 0)
    return place


def opened(folder: Path, settings: dict[str, Any]) -> Ledger:
    url = f"sqlite:///{folder}/desk.db"
    if (folder / "desk.db").is_file():
        return Ledger.open(url)
    ledger = Ledger.init(url)
    source = str(specimen.checkpoint("original"))
    given = {"others": str(others_of(folder).resolve()), **settings}
    digest = hash_weights(weight_files(source))
    ledger.register_model(MODEL, source, digest, actor="bench", settings=given)
    return ledger


def carried_out(ledger: Ledger, people: dict[str, Data], batches: int) -> None:
    """Submit as many as a batch takes, work, and so on."""
    size = -(-len(people) // batches)
    names = [*people]
    for first in range(0, len(names), size):
        for name in names[first : first + size]:
            if not ledger.has_asked(name, MODEL):
                made = Submission((MODEL,), people[name], subject=name, identified=True)
                id = ledger.submit(made, actor="bench")
                ledger.decide(id, "accept", "no exception applies", actor="bench")
        worker = Worker(ledger, name="bench", limit=size, tell=said)
        worker.run(once=True)


def said(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def share_told(vlm: VLM, people: dict[str, Data]) -> dict[str, float]:
    """Of each person, the share of private questions that are answered truly."""
    told = {}
    for name, data in people.items():
        records = data.select(kinds=["image_memory", "text_memory"], use="score")
        answers = ask(vlm, data, records)
        told[name] = fmean(leaked(r, a) for r, a in zip(records, answers, strict=True))
    return told


def kept(vlm: VLM, data: Data, kinds: list[Any], gone: set[str]) -> float:
    """ROUGE-L of what is asked of the retained people and of those never known."""
    records = [
        r
        for r in data.select(splits=["retain", "unseen"], kinds=kinds, use="score")
        if r.subject not in gone and r.task == "question"
        and (r.split == "retain" or kinds == ["image_understanding"])
    ]  # fmt: skip
    score = METRICS["rouge_l"].prepare(records)
    return fmean(score(r, a) for r, a in zip(records, ask(vlm, data, records), strict=True))


def measured(ledger: Ledger, people: dict[str, Data], others: Data) -> dict[str, Any]:
    base = load(ledger.model(MODEL).source)
    release = ledger.current(MODEL)
    if release is None:
        raise SystemExit("nothing was released")
    after = load(ledger.settings.folder / release.folder / "model")
    gone = {*people}
    before, now = share_told(base, people), share_told(after, people)
    memory: list[Any] = ["image_memory", "text_memory"]
    sight: list[Any] = ["image_understanding"]
    audits = [
        step.result
        for batch in ledger.batches(open_only=False)
        for step in batch.steps
        if step.name.startswith("audit-")
    ]
    passed = [result for result in audits if result["passed"]]
    back = {id: tuple(counts) for result in passed for id, counts in result["earlier"].items()}
    return {
        "requests": len(people),
        "released": ledger.counts(MODEL)["released"],
        "failed": ledger.counts(MODEL)["failed"],
        "releases": len(ledger.releases(MODEL)),
        "audits": len(audits),
        "told.before": fmean(before.values()),
        "told.after": fmean(now.values()),
        "told.worst_person": max(now.values()),
        "earlier.back": len(returned(back)),
        "kept.memory": kept(after, others, memory, gone) / kept(base, others, memory, gone),
        "kept.understanding": kept(after, others, sight, gone) / kept(base, others, sight, gone),
        "rebuild_due": bool(ledger.health(MODEL)[-1].figures["rebuild_due"]),
        "log": str(ledger.verify() or "holds"),
        "health": [dict(point.figures) for point in ledger.health(MODEL)],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Requests of many people, one after the other.")
    parser.add_argument("--out", type=Path, required=True, help="goes on where it was")
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--batches", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="attacks or families of the audits")
    parser.add_argument("--gate", type=Path, help="of the audits; `served` if not given")
    parser.add_argument("-o", "--option", action="append", default=[], help="key=value")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    key = given.out / "sign.pem"
    if not key.is_file():
        make_key(key)
    os.environ.setdefault("EXCISE_KEY", str(key))
    options = dict(text.split("=", 1) for text in given.option)
    people = people_of(given.out / "people", given.requests)
    began = time.monotonic()
    settings: dict[str, Any] = {"options": options}
    if given.only:
        settings["only"] = given.only
    if given.gate:
        settings["gate"] = str(given.gate.resolve())
    with opened(given.out, settings) as ledger:
        carried_out(ledger, people, given.batches)
        found = measured(ledger, people, excise.read(others_of(given.out)))
    found |= {"options": options, "seconds": round(time.monotonic() - began, 1)}
    lines = [
        ("released", found["released"], found["released"] == given.requests),
        ("private questions answered truly before", found["told.before"], True),
        ("and now", found["told.after"], found["told.after"] <= FORGOTTEN),
        ("of the one most of whom came back", found["told.worst_person"], True),
        ("earlier requests whose memory is back", found["earlier.back"], not found["earlier.back"]),
        ("kept memory of others", found["kept.memory"], found["kept.memory"] >= KEPT_MEMORY),
        (
            "kept understanding",
            found["kept.understanding"],
            found["kept.understanding"] >= KEPT_SIGHT,
        ),
        ("the log", found["log"], found["log"] == "holds"),
    ]
    for what, value, holds in lines:
        shown = f"{value:.3f}" if isinstance(value, float) else str(value)
        print(f"{what:42} {shown:>8} {'' if holds else '  MISSED'}")
    if given.json:
        write_json(given.json, found)
    return 0 if all(holds for _, _, holds in lines) else 1


if __name__ == "__main__":
    raise SystemExit(main())
