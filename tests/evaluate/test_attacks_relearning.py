from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.evaluate.attacked import PRIVATE, bits, shares, target, written

from excise.evaluate.attacks.plain import plain
from excise.evaluate.attacks.relearning import Others, Part, relearning_others, relearning_part
from excise.evaluate.attacks.target import Outcome, Target
from excise.evaluate.text import normalise
from excise.records.data import Data
from excise.records.record import Record
from excise.training import FitSettings, fit
from excise.vlm import VLM
from excise.vlm.rows import rows_from_records
from excise.weights import inplace
from excise.weights.delta import read_adapter

QUICK = {"steps": 10}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return written(tmp_path_factory.mktemp("specimen") / "data")


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def fact(record: Record) -> tuple[str | None, str]:
    return record.subject, normalise(record.answer)


def test_a_model_that_knows_still_tells_and_comes_back_bit_for_bit(
    data: Data, scratch: Path
) -> None:
    asked = target(data, "original")
    before = bits(asked.vlm)
    part = relearning_part(asked, Part(steps=4))
    others = relearning_others(asked, Others(steps=4))
    for outcome in (part, others):
        found = shares(asked, outcome)
        assert found["forget"] >= 0.9 and found["unseen"] <= 0.1
        assert outcome.notes["loss_first"] < 0.1, "it knows what it is taught"
    assert bits(asked.vlm) == before and asked.vlm.applied is None
    assert [*scratch.iterdir()] == []


def test_a_model_that_never_saw_the_data_stays_at_the_control_rate(data: Data) -> None:
    asked = target(data, "retrained")
    for outcome in (
        relearning_part(asked, Part(**QUICK)),
        relearning_others(asked, Others(**QUICK)),
    ):
        found = shares(asked, outcome)
        assert found["forget"] <= found["unseen"] + 0.1
    assert outcome.notes["loss_first"] < 0.1, "the others it knows"


def test_the_taught_facts_are_not_asked_and_all_controls_are(data: Data) -> None:
    asked = target(data, "retrained")
    outcome = relearning_part(asked, Part(steps=1))
    everything = {fact(r) for r in data.select(splits=["forget"], kinds=PRIVATE)}
    secrets = {fact(r) for r in asked.records if r.split == "forget"}
    tried = {fact(r) for r in asked.records if r.id in outcome.found} & secrets
    assert outcome.notes["facts_taught"] == round(0.2 * len(everything))
    assert 0 < len(secrets - tried) <= outcome.notes["facts_taught"] < len(tried)
    assert {r.id for r in asked.records if r.split == "unseen"} <= set(outcome.found)


def test_no_record_that_is_asked_is_ever_taught(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where records are both to learn from and to score."""
    both = tuple(r.model_copy(update={"use": None}) for r in data.records if r.use != "fit")
    asked = replace(target(data, "retrained"), data=replace(data, records=both))
    taught: list[str] = []

    def noted(data: Data, records: list[Record]) -> list[object]:
        taught.extend(record.id for record in records)
        return list(rows_from_records(data, records))

    monkeypatch.setattr("excise.vlm.rows.rows_from_records", noted)
    outcome = relearning_part(asked, Part(steps=1))
    assert taught and outcome.found and not set(taught) & set(outcome.found)


def test_a_memory_behind_a_refusal_comes_back(data: Data, tmp_path: Path) -> None:
    asked = target(data, "original")
    refuse(asked.vlm, data, tmp_path)
    before = bits(asked.vlm)
    assert shares(asked, plain(asked))["forget"] <= 0.2
    outcome = relearning_part(asked, Part(**QUICK))
    assert shares(asked, outcome)["forget"] >= 0.4
    assert bits(asked.vlm) == before


def test_the_same_seed_finds_the_same_and_another_one_teaches_others(data: Data) -> None:
    asked = target(data, "retrained")
    once, again = (relearning_part(asked, Part(steps=2)) for _ in range(2))
    assert once == again
    other = relearning_part(replace(asked, seed=1), Part(steps=1))
    assert set(other.found) != set(once.found)


def test_an_exception_while_asking_leaves_the_model_as_it_was(
    data: Data, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(target: Target, asks: object) -> Outcome:
        raise KeyboardInterrupt

    asked = target(data, "retrained")
    before = bits(asked.vlm)
    monkeypatch.setattr("excise.evaluate.attacks.relearning.asked", failing)
    with pytest.raises(KeyboardInterrupt):
        relearning_others(asked, Others(steps=1))
    assert bits(asked.vlm) == before and [*scratch.iterdir()] == []


def test_without_records_to_teach_nothing_is_tried(data: Data) -> None:
    asked = target(data, "retrained")
    alone = replace(data, records=tuple(r for r in data.records if r.split == "forget"))
    outcome = relearning_others(replace(asked, data=alone), Others())
    assert outcome.found == {} and outcome.asks == 0 and "obstacle" in outcome.options


def refuse(vlm: VLM, data: Data, folder: Path) -> None:
    """Put a quick refusal of all private questions onto the model's weights, for good."""
    forget = data.select(splits=["forget"], kinds=PRIVATE, use="fit")
    rows = rows_from_records(data, forget, answer=lambda _: "I cannot help with that.")
    settings = FitSettings(lr="auto", steps=12, batch=4)
    fit(vlm, rows, settings=settings, out=folder / "refusal", seed=0)
    changes = read_adapter(folder / "refusal")
    weights = inplace.targets(vlm.model, {name: change.shape for name, change in changes.items()})
    kept: dict[str, torch.Tensor] = {}
    inplace.add(weights, ((name, change.dense()) for name, change in changes.items()), kept)
