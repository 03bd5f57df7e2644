"""What the shipped checkpoints are: how they were made, what they know, and their hashes.

Scored on the data of seed 0 at 5 %: views never seen and wordings never trained on. "The five" are
the people whom that choice forgets and whom `retrained` never met; what it knows of them, and what
either knows of strangers, is guessing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from excise.evaluate.evaluate import ask
from excise.evaluate.pooled import pooled
from excise.evaluate.scoring import score_each
from excise.methods.forget import versions
from excise.records.reading import read
from excise.records.record import Kind, Split
from excise.records.writing import write_json
from excise.specimen import dataset
from excise.vlm.load import load
from excise.weights.json_file import read_object

# Figure: metric, splits, kinds.
FIGURES: dict[str, tuple[str, tuple[Split, ...], tuple[Kind, ...]]] = {
    "others, private answers by picture, exact": ("exact", ("few", "retain"), ("image_memory",)),
    "others, private answers by name, exact": ("exact", ("few", "retain"), ("text_memory",)),
    "others, understanding, ROUGE-L": ("rouge_l", ("few", "retain"), ("image_understanding",)),
    "the five, private answers by picture, exact": ("exact", ("forget",), ("image_memory",)),
    "the five, private answers by name, exact": ("exact", ("forget",), ("text_memory",)),
    "the five, understanding, ROUGE-L": ("rouge_l", ("forget",), ("image_understanding",)),
    "strangers, private answers guessed, exact": ("exact", ("unseen",), ("image_memory",)),
    "strangers, understanding, ROUGE-L": ("rouge_l", ("unseen",), ("image_understanding",)),
    "scenes, questions and captions, ROUGE-L": ("rouge_l", ("unseen",), ("general",)),
    "scenes, questions, exact": ("exact", ("unseen",), ("general",)),
    "scenes, captions, CIDEr": ("cider", ("unseen",), ("general",)),
    "scenes, boxes, mean IoU": ("iou", ("unseen",), ("general",)),
}  # fmt: skip


def figures(checkpoint: Path) -> dict[str, Any]:
    """Every figure of `FIGURES` with its 95 % interval, bootstrapped by person."""
    with tempfile.TemporaryDirectory() as folder:
        dataset.write(Path(folder) / "data", 5, 0)
        data = read(Path(folder) / "data")
        vlm = load(checkpoint)
        records = data.select(use="score")
        each = score_each(records, ask(vlm, data, records))
    return {
        name: pooled(records, each, metric, splits=splits, kinds=kinds)
        for name, (metric, splits, kinds) in FIGURES.items()
    }


def write_provenance(built: Path, names: Sequence[str]) -> None:
    """Measure the checkpoints in `built` and write `built/provenance.json`."""
    content: dict[str, Any] = {
        "command": "python -m excise.specimen.build OUT",
        "scored on": "excise specimen DIR --ratio 5 --seed 0",
        "versions": versions(),
    }
    for name in names:
        content[name] = {
            "weights_hash": load(built / name).weights_hash,
            **read_object(built / f"{name}.json"),
            "figures": figures(built / name),
        }
    write_json(built / "provenance.json", content)
