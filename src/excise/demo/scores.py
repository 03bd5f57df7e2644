"""Score the model as it is now, keep figures and answers beside the report, and reuse them.

The specimen's people are fictitious, so answers may be kept in clear here.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from excise.evaluate.evaluate import evaluate
from excise.evaluate.intervals import Figure
from excise.evaluate.pooled import pooled
from excise.evaluate.scoring import score_each
from excise.records.data import Data
from excise.records.record import Kind, Record, Split
from excise.records.writing import write_json
from excise.vlm.load import VLM
from excise.weights.json_file import read_object

MEMORY: tuple[Kind, ...] = ("image_memory", "text_memory")
SEEING: tuple[Kind, ...] = ("image_understanding",)


@dataclass(frozen=True)
class Scores:
    """One state of the model: its metrics JSON, and its answer to every scored record."""

    metrics: dict[str, Any]
    records: list[Record]
    answers: dict[str, str]

    @cached_property
    def _each(self) -> list[dict[str, float]]:
        return score_each(self.records, [self.answers[record.id] for record in self.records])

    def rouge(self, splits: Collection[Split], kinds: Collection[Kind]) -> Figure | None:
        """Mean ROUGE-L over several splits and kinds."""
        return pooled(self.records, self._each, "rouge_l", splits=splits, kinds=kinds)

    def point(self) -> dict[str, Figure | None]:
        """The three coordinates of the dial's curve."""
        return {
            "forget_memory": self.rouge(["forget"], MEMORY),
            "retain_memory": self.rouge(["retain"], MEMORY),
            "understanding": self.rouge(["forget", "retain", "unseen"], SEEING),
        }


class Scorer:
    """Scores into a folder; what was scored there before is read back."""

    def __init__(self, data: Data, folder: Path, seed: int) -> None:
        self.data, self.folder, self.seed = data, folder, seed

    def __call__(self, name: str, vlm: VLM, limit: int) -> Scores:
        """Scores of `vlm` as it is, on at most `limit` records of each split and kind."""
        metrics_file = self.folder / f"metrics-{name}.json"
        answers_file = self.folder / f"answers-{name}.jsonl"
        if not self._done(metrics_file, answers_file, vlm):
            metrics = evaluate(
                vlm, self.data, splits=["forget", "retain", "unseen"], limit=limit, seed=self.seed,
                answers_out=answers_file,
            )  # fmt: skip
            write_json(metrics_file, metrics)
        lines = answers_file.read_text(encoding="utf-8").splitlines()
        answers = {entry["id"]: entry["answer"] for entry in map(json.loads, lines)}
        records = [record for record in self.data.records if record.id in answers]
        return Scores(read_object(metrics_file), records, answers)

    def _done(self, metrics_file: Path, answers_file: Path, vlm: VLM) -> bool:
        if not (metrics_file.is_file() and answers_file.is_file()):
            return False
        found = read_object(metrics_file)
        return found.get("model") == vlm.name and found.get("run") == vlm.applied
