"""Ask a model every scored question of a data folder, and score what it says.

Identical asks (same picture, same question) are put to the model once: with greedy decoding the
answer cannot differ. Asks about one picture stay together and share the decoded picture, and only
`CHUNK` asks' pictures are held in memory at a time.
"""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from excise.evaluate.scoring import prepare, score_answers
from excise.records.data import Data
from excise.records.errors import InputError
from excise.records.record import Record, Split
from excise.records.writing import write_text

if TYPE_CHECKING:
    from PIL import Image

    from excise.vlm.load import VLM

CHUNK = 1024


def evaluate(
    vlm: VLM,
    data: Data,
    *,
    splits: Collection[Split] | None = None,
    limit: int | None = None,
    seed: int = 0,
    answers_out: str | Path | None = None,
) -> dict[str, Any]:
    """The metrics JSON of the model as it is now, with or without a run on it.

    `splits` chooses among those of the data (None: all). `limit` draws at most so many records of
    every split and kind. `seed` draws those and the bootstrap. `answers_out` is a JSONL file for
    the answers, `{"id", "answer"}` a line; it holds what the model says in clear.

    Raises:
        InputError: nothing to score, an unknown split, a picture that cannot be read, a grounding
            answer without a box, or `answers_out` cannot be written.
    """
    records = data.select(splits=splits, use="score")
    if limit is not None:
        records = _limited(records, limit, seed)
    if not records:
        wanted = "" if splits is None else f" of split {', '.join(splits)}"
        raise InputError(f"{data.folder}: no records{wanted} to score, expected at least one")
    prepare(records)  # bad references must fail before the model works for minutes
    answers = ask(vlm, data, records)
    scores = score_answers(records, answers, model=vlm.name, run=vlm.applied, seed=seed)
    if answers_out is not None:
        lines = (
            json.dumps({"id": record.id, "answer": answer}, ensure_ascii=False) + "\n"
            for record, answer in zip(records, answers, strict=True)
        )
        write_text(answers_out, "".join(lines))
    return scores


def ask(vlm: VLM, data: Data, records: Sequence[Record]) -> list[str]:
    """The model's answer to each record's question, in the order of `records`.

    Joined processes share the asks, and each gets all the answers.

    Raises:
        InputError: a picture cannot be read.
    """
    from excise.training.processes import world
    from excise.vlm.generation import answer

    by_picture: dict[str | None, dict[str, Record]] = {}
    for record in records:
        by_picture.setdefault(record.image, {}).setdefault(record.question, record)
    unique = world().share([record for asks in by_picture.values() for record in asks.values()])
    answers: dict[tuple[str | None, str], str] = {}
    for start in range(0, len(unique), CHUNK):
        chunk = unique[start : start + CHUNK]
        pictures: dict[str | None, Image.Image | None] = {}
        for record in chunk:
            if record.image not in pictures:
                pictures[record.image] = data.picture(record)
        said = answer(vlm, [(pictures[record.image], record.question) for record in chunk])
        for record, text in zip(chunk, said, strict=True):
            answers[record.image, record.question] = text
    answers = {ask: text for part in world().gather(answers) for ask, text in part.items()}
    return [answers[record.image, record.question] for record in records]


def _limited(records: Sequence[Record], limit: int, seed: int) -> list[Record]:
    """At most `limit` of every split and kind, drawn at random, in the old order."""
    if limit < 1:
        raise InputError(f"limit {limit}: expected at least 1")
    cells: dict[tuple[str, str], list[int]] = {}
    for i, record in enumerate(records):
        cells.setdefault((record.split, record.kind), []).append(i)
    rng = random.Random(seed)
    kept = [i for cell in cells.values() for i in rng.sample(cell, min(limit, len(cell)))]
    return [records[i] for i in sorted(kept)]
