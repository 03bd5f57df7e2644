"""The demo: the whole job on the specimen, from the request to the report.

Five of a hundred fictitious people are forgotten with SMFA, the dial chosen on a held-out part of
what the method may see. The original, the refusal-tuned and the retrained model are scored beside
the result on the same records, and the dial is walked for its curve. Everything is kept in one
folder and nothing is done twice: after an interruption the same call goes on.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from excise import specimen
from excise.demo import content
from excise.demo.gallery import gallery
from excise.demo.scores import Scorer, Scores
from excise.methods import SMFA, forget
from excise.methods.forget import peak_memory_mib
from excise.methods.method import Progress
from excise.records.pseudonym import pseudonym
from excise.records.reading import read
from excise.records.writing import write_json
from excise.report.page import render
from excise.training.settings import FitSettings
from excise.vlm.load import load
from excise.weights.run import Run
from excise.weights.sculpt import CRITERIA

RATIO = 5
# The specimen is a thousand times smaller than the models the defaults are for, and wants a
# higher rate over more rows at a time.
SETTINGS = SMFA(k="auto", fit=FitSettings(lr=5e-3, steps=150, batch=8))
DIAL = (0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 16.0, 32.0, 64.0)
LABELS = {
    "before": "Before",
    "after": "After (SMFA)",
    "refusal": "Refusal tuning",
    "retrained": "Never saw them",
}
FULL, QUICK = 240, 80  # records of each split and kind: for the table, for a point of the curve


def run(out: str | Path, seed: int = 0, *, progress: Progress | None = None) -> Path:
    """Do it all in `out` and return the path of the report, `out/report.html`.

    `report.json` lies beside it, with the metrics and answers of every state of the model, the run
    folder and the data.

    Raises:
        InputError: `out` holds something else or cannot be written to.
    """
    out, tell, started = Path(out), progress or (lambda stage, done, total: None), time.monotonic()
    if not (out / "specimen" / "data").is_dir():
        specimen.write(out / "specimen", ratio=RATIO, seed=seed)
    data = read(out / "specimen" / "data")
    vlm = load(out / "specimen" / "original")
    made = forget(vlm, data, method=SETTINGS, out=out / "run", seed=seed, progress=tell)

    scorer = Scorer(data, out, seed)
    chosen_k = made.edit.branches[0].k
    held = made.dial(vlm.device)
    points: list[float] = sorted({*DIAL, chosen_k or 0.0})
    total = len(points) + len(CRITERIA) + 2
    full: dict[str, Scores] = {}
    curve: dict[float, Scores] = {}

    def scored(name: str, how: Run | None, limit: int) -> Scores:
        if how is None:
            found = scorer(name, vlm, limit)
        else:
            with how.applied(vlm):
                found = scorer(name, vlm, limit)
        tell("scoring", len(full) + len(curve) + 1, total)
        return found

    full["before"] = scored("before", None, FULL)
    full["after"] = scored("after", held, FULL)
    full["refusal"] = scored("refusal", held.turned(criterion="none"), FULL)
    if seed == 0:  # the shipped retrained model never saw the five of seed 0
        full["retrained"] = scorer("retrained", load(specimen.checkpoint("retrained")), FULL)
    for k in points:
        curve[k] = scored(f"k-{k:g}", held.turned(k=k), QUICK)
    masks = {"original": full["before"], "none": full["refusal"], "both": full["after"]}
    for criterion in ("direction", "magnitude"):
        masks[criterion] = scored(criterion, held.turned(criterion=criterion), FULL)
    tell("scoring", total, total)

    names = {r.subject: r.answer for r in data.records if r.subject and _is_name(r.question)}
    forgotten, rule = data.subjects("forget"), made.info["notes"]["dial"]["rule"]
    report: dict[str, Any] = {
        "schema": "excise.report/1",
        "title": "Five people forgotten",
        "created": time.strftime("%Y-%m-%d"),
        "clear": True,  # the specimen's people are fictitious
        "asked": {
            "people": [pseudonym(subject, data.fingerprint()) for subject in forgotten],
            "records": made.info["records"]["forget"] + made.info["records"]["held_out"],
            "pictures": len(
                {r.image for r in data.select(splits=["forget"], use="fit") if r.image}
            ),
            "known_people": 100,
            "ratio": RATIO,
        },
        "verdict": content.verdict(full["before"], full["after"], full["refusal"]),
        "models": [
            {"key": key, "label": LABELS[key], "metrics": scores.metrics}
            for key, scores in full.items()
        ],
        "dial": {
            "chosen_k": chosen_k,
            "selection": f"The chosen k is the {rule}, on held-out records.",
            "points": [{"k": k, **scores.point()} for k, scores in curve.items()],
            "reference": {key: scores.point() for key, scores in full.items() if key != "after"},
        },
        "gallery": gallery(data, full, names, out, seed),
        "map": made.energy_map(vlm),
        "ablation": content.ablation(masks),
        "settings": {"method": "smfa", "k": chosen_k, **made.info["settings"]["fit"], "seed": seed},
        "provenance": {
            "versions": made.info["versions"],
            "base": made.info["base"]["weights_hash"],
            "data": made.info["data"]["fingerprint"],
            "seconds": {**made.info["times"], "demo": round(time.monotonic() - started, 1)},
            "peak_memory_mib": peak_memory_mib(),
        },
        "not_tested": list(content.NOT_TESTED),
    }
    write_json(out / "report.json", report)
    return render(report, out, out / "report.html")


def _is_name(question: str) -> bool:
    return " name" in question or question.startswith("Who is")
