"""Choose an adapter's strength on questions that its fit did not see.

The weight of an adapter is a dial between the untouched model (0), what was trained (1) and beyond.
Memory goes first and side effects come last, so the rule is: the smallest strength of the grid at
which what is to be forgotten is remembered no more than `TOLERANCE`. It is asked about new views of
the forget set's own pictures, in the wordings that were held out where there are some; nothing of
`retain` or `unseen` is looked at. Upon an earlier run, whoever that left nothing of counts apart,
and the worse of the two decides. What is remembered falls as the strength grows, within noise, so
the grid is bisected.
"""

from __future__ import annotations

import random
from statistics import fmean
from typing import Any

from excise.evaluate.scoring import METRICS
from excise.methods.method import Material
from excise.methods.views import new_view
from excise.vlm.generation import answer
from excise.weights.edit import EditSpec

GRID = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0)
TOLERANCE = 0.02  # ROUGE-L, one or two in a hundred come back by chance
VIEWS = 3  # of each picture, none of them trained on


def choose_strength(material: Material, spec: EditSpec) -> EditSpec:
    """`spec` with the chosen weight in every branch; the curve goes to `material.notes["dial"]`."""
    held = [record for record in material.held_out if record.split == "forget"]
    records = [record for record in material.forget if record.image is not None]
    rng = random.Random(f"strength-{material.seed}")
    pictures: dict[str, list[Any]] = {}
    asked, wanted = [], []
    for record in (*records, *held):
        if record.image is None:
            asked.append((None, record.question))
            wanted.append(record)
            continue
        if record.image not in pictures:
            picture = material.data.picture(record)
            assert picture is not None
            pictures[record.image] = [new_view(picture, rng) for _ in range(VIEWS)]
        asked += [(view, record.question) for view in pictures[record.image]]
        wanted += [record] * VIEWS
    if not wanted:  # names only, and no question about anybody twice: what was trained on is asked
        wanted = [*material.forget]
        asked = [(None, record.question) for record in wanted]
    run = material.trial(spec).dial(material.vlm.device)
    score = METRICS["rouge_l"].prepare(wanted)
    points: list[dict[str, float]] = []

    def remembered(strength: float) -> float:
        with material.base(), run.turned(strength=strength).applied(material.vlm):
            said = answer(material.vlm, asked)
        kept: dict[bool, list[float]] = {}  # whom an earlier run left nothing of would dilute it
        for record, words in zip(wanted, said, strict=True):
            kept.setdefault(record.subject in material.done, []).append(score(record, words))
        found = max(map(fmean, kept.values()))
        points.append({"strength": strength, "forget": found})
        material.progress("choosing the strength", len(points), 1 + len(GRID).bit_length())
        return found

    low, high = 0, len(GRID) - 1  # the last is taken if none smaller will do
    while low < high:
        middle = (low + high) // 2
        if remembered(GRID[middle]) <= TOLERANCE:
            high = middle
        else:
            low = middle + 1
    material.progress("choosing the strength", 1, 1)
    material.notes["dial"] = {
        "rule": f"smallest strength that leaves forgotten memory at {TOLERANCE} or less",
        "metric": "rouge_l",
        "scored_on": f"{VIEWS} new views of each picture, and held-out records",
        "records": {"forget": len(wanted)},
        "points": sorted(points, key=lambda point: point["strength"]),
        "strength": GRID[low],
    }
    return spec.turned(strength=GRID[low])
