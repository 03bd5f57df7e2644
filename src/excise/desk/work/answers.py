"""What the model said before and says now, for the page that shows both side by side.

Two files (schema `excise.answers/1`): questions about everybody else's pictures in the release's
folder, which are nobody's secret; and the request's own private questions among its sealed probes.
No true private answer is in it: it says whether the model told it before, and
what it says instead now.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from excise.desk.console.answers import FILE, SCHEMA
from excise.desk.work.probes import Probe, sample, spoken
from excise.evaluate.evaluate import ask
from excise.records.data import Data
from excise.records.record import Record
from excise.records.writing import write_json
from excise.weights.run import Run

if TYPE_CHECKING:
    from excise.vlm.load import VLM

SHOWN = 12
SHREDDED = "(shredded; known by its hash alone)"
TOLD = "(the true answer)"


def public_answers(vlm: VLM, run: Run, data: Data, seed: int = 0) -> list[dict[str, Any]]:
    """A dozen questions about others' pictures, answered without and with the run."""
    records = data.select(
        splits=["retain", "unseen"], kinds=["image_understanding", "general"], use="score"
    )
    chosen = random.Random(f"shown-{seed}").sample(records, min(SHOWN, len(records)))
    before = ask(vlm, data, chosen)
    with run.applied(vlm):
        after = ask(vlm, data, chosen)
    return [_item(r, b, a) for r, b, a in zip(chosen, before, after, strict=True)]


def private_answers(
    vlm: VLM, run: Run, folder: Path, probes: Sequence[Probe], seed: int = 0
) -> list[dict[str, Any]]:
    """The probes' questions; where the model tells the true answer, it says that it does."""
    chosen = sample(probes, seed)
    before = spoken(vlm, folder, chosen)
    with run.applied(vlm):
        after = spoken(vlm, folder, chosen)
    return [
        {
            "kind": probe.kind,
            "question": probe.question,
            "answer": SHREDDED,
            "before": TOLD if probe.found_in(was) is not None else was,
            "after": TOLD if probe.found_in(now) is not None else now,
        }
        for probe, was, now in zip(chosen, before, after, strict=True)
    ]


def write_answers(folder: Path, items: Sequence[dict[str, Any]]) -> None:
    """Write the file that the page reads."""
    write_json(folder / FILE, {"schema": SCHEMA, "items": list(items)})


def _item(record: Record, before: str, after: str) -> dict[str, Any]:
    return {
        "kind": record.kind,
        "question": record.question,
        "answer": record.answer,
        "before": before,
        "after": after,
    }
