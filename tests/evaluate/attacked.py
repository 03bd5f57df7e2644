"""The specimen as a target of attacks, and the shares of facts that an attack found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from excise import specimen
from excise.evaluate.attacks import Outcome, Target
from excise.evaluate.text import normalise
from excise.records import read
from excise.records.data import Data
from excise.records.record import Kind
from excise.specimen import dataset
from excise.vlm import VLM, load

PRIVATE: tuple[Kind, ...] = ("image_memory", "text_memory")


def written(folder: Path) -> Data:
    """The specimen's data, 5 % of seed 0, which `retrained` never saw."""
    folder.mkdir()
    dataset.write(folder, 5, 0)
    return read(folder)


def target(data: Data, checkpoint: str) -> Target:
    """Every second secret and every fourth control, to be quick."""
    secrets = data.select(splits=["forget"], kinds=PRIVATE, use="score")[::2]
    controls = data.select(splits=["unseen"], kinds=PRIVATE, use="score")[::4]
    vlm = load(specimen.checkpoint(checkpoint), device="cpu")
    return Target(vlm, data, (*secrets, *controls), seed=0)


def shares(target: Target, outcome: Outcome) -> Mapping[str, float]:
    """Of the facts of a split that were tried, how many were found by any ask."""
    tried: dict[str, dict[tuple[str | None, str], bool]] = {}
    for record in target.records:
        if record.id in outcome.found:
            facts = tried.setdefault(record.split, {})
            fact = record.subject, normalise(record.answer)
            facts[fact] = facts.get(fact, False) or outcome.found[record.id] > 0
    return {split: sum(facts.values()) / len(facts) for split, facts in tried.items()}


def bits(vlm: VLM) -> dict[str, bytes]:
    """Every weight by its bytes."""
    return {n: t.contiguous().numpy().tobytes() for n, t in vlm.model.state_dict().items()}
