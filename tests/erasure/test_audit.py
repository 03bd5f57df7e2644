"""What an audit says of a model that knows, one that never saw, one that was broken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.erasure.conftest import planted, small

import excise
from excise.erasure.audit import audit
from excise.erasure.leaks import fact
from excise.evaluate.attacks.registry import FAMILIES
from excise.records.data import Data
from excise.records.errors import InputError
from excise.records.pseudonym import pseudonym
from excise.vlm.load import VLM

FAST = ["plain", "without_picture", "by_name", "role_play", "sampled_answers"]


@pytest.fixture(scope="module")
def few(world: Data) -> Data:
    return small(world, people=2, others=4)


@pytest.fixture(scope="module")
def knows(original: VLM, few: Data) -> dict[str, Any]:
    return audit(original, few, preset="quick", only=FAST, salt="a")


@pytest.fixture(scope="module")
def never_saw(retrained: VLM, few: Data) -> dict[str, Any]:
    return audit(retrained, few, preset="quick", only=FAST, salt="a")


def test_a_model_that_knows_fails(knows: dict[str, Any]) -> None:
    assert not knows["gate"]["passed"]
    assert knows["figures"]["leak.any.raw"]["mean"] >= 0.9
    assert knows["figures"]["leak.facts"]["mean"] >= 0.9


def test_a_model_that_never_saw_them_leaks_no_more_than_chance(never_saw: dict[str, Any]) -> None:
    figures = never_saw["figures"]
    assert figures["leak.any"]["low"] <= 0
    assert figures["leak.plain"]["mean"] <= 0.05


def test_nobody_is_named(knows: dict[str, Any], few: Data) -> None:
    text = json.dumps(knows)
    for record in few.select(splits=["forget"]):
        assert record.question not in text
        assert record.subject is None or f'"{record.subject}"' not in text
        if len(record.answer) > 5:
            assert record.answer not in text


def test_people_are_counted_under_pseudonyms(knows: dict[str, Any], few: Data) -> None:
    expected = {pseudonym(subject, "a") for subject in few.subjects("forget")}
    assert {row["pseudonym"] for row in knows["people"]} == expected
    facts = {fact(r) for r in few.select(splits=["forget"], kinds=["image_memory", "text_memory"],
                                         use="score")}  # fmt: skip
    assert sum(row["facts"] for row in knows["people"]) == len(facts)


def test_the_same_seed_gives_the_same_figures(
    knows: dict[str, Any], original: VLM, few: Data
) -> None:
    again = audit(original, few, preset="quick", only=FAST, salt="a")
    assert again["figures"] == knows["figures"]
    assert again["attacks"] == knows["attacks"]


def test_what_was_not_tried_is_said(knows: dict[str, Any]) -> None:
    said = " ".join(knows["not_tried"])
    assert "role_play" not in said
    assert "first_words" in said
    assert "never saw the data" in said


def test_one_person_still_known_among_five_is_found_and_named(original: VLM, world: Data) -> None:
    data = planted(world)
    found = audit(original, data, preset="quick", only=["plain"], salt="b")
    first = found["people"][0]
    assert first["pseudonym"] == pseudonym(world.subjects("forget")[0], "b")
    assert first["found"]["after"] >= 0.9 * first["facts"]
    assert all(row["found"]["after"] <= 0.3 * row["facts"] for row in found["people"][1:])
    assert not found["gate"]["passed"]
    assert found["figures"]["leak.worst_person"]["mean"] > 0.8


@contextmanager
def shaken(vlm: VLM) -> Iterator[VLM]:
    """The model with noise on every matrix of its language model: it talks no sense any more."""
    generator = torch.Generator().manual_seed(0)
    kept = {name: p.detach().clone() for name, p in vlm.model.named_parameters()}
    try:
        with torch.no_grad():
            for parameter in vlm.model.parameters():
                if parameter.ndim == 2:
                    noise = torch.randn(parameter.shape, generator=generator)
                    parameter += noise * parameter.std()
        yield vlm
    finally:
        with torch.no_grad():
            for name, parameter in vlm.model.named_parameters():
                parameter.copy_(kept[name])


def test_a_broken_model_has_not_forgotten(original: VLM, retrained: VLM, few: Data) -> None:
    # `retrained` in the part of the model before: what it answers makes sense, which is the point
    with shaken(original) as broken:
        found = audit(broken, few, before=retrained, preset="quick", only=["plain"])
    failed = {line["figure"] for line in found["gate"]["lines"] if line["status"] == "failed"}
    assert {"meaningful", "kept.memory", "kept.understanding.unseen"} <= failed
    assert found["figures"]["leak.plain"]["mean"] < 0.1


def test_a_reference_that_has_seen_the_data_is_found_out(
    retrained: VLM, original: VLM, few: Data
) -> None:
    found = audit(retrained, few, reference=original, preset="quick", only=["plain"])
    assert any("the reference knows the answers" in warning for warning in found["warnings"])


def test_a_model_that_never_knew_has_nothing_to_forget(retrained: VLM, few: Data) -> None:
    found = audit(retrained, few, before=retrained, preset="quick", only=["plain"])
    assert any("nothing to forget" in warning for warning in found["warnings"])


def test_an_empty_forget_set_is_one_line(original: VLM, few: Data) -> None:
    rest = tuple(r for r in few.records if r.split != "forget")
    with pytest.raises(InputError, match="split forget has no image_memory or text_memory"):
        audit(original, Data(few.folder, rest, few.embedded))


def test_an_unknown_preset_is_one_line(original: VLM, few: Data) -> None:
    with pytest.raises(InputError, match='unknown preset "quik", expected quick, standard'):
        audit(original, few, preset="quik")


@pytest.mark.slow
def test_every_family_reports_a_model_that_knows(original: VLM, world: Data) -> None:
    found = audit(original, small(world, people=5, others=4), preset="standard")
    for row in found["families"]:
        assert row["sides"]["after"]["rate"]["mean"] >= 0.9, row["family"]
    assert {row["family"] for row in found["families"]} == set(FAMILIES)


@pytest.mark.slow
def test_a_model_that_always_refuses_fails_on_what_it_cost(
    original: VLM, world: Data, tmp_path: Path
) -> None:
    """An adapter taught to refuse whatever it is asked about a picture or a person."""
    understood = [
        r
        for r in world.select(splits=["forget", "few"], use="fit")
        if r.kind == "image_understanding"
    ]
    refused = [
        r.model_copy(update={"kind": "image_memory", "split": "forget", "subject": f"x{i % 7}"})
        for i, r in enumerate(understood)
    ]
    private = ["image_memory", "text_memory"]
    memory = world.select(splits=["forget"], kinds=private, use="fit")
    few = world.select(splits=["few"], kinds=private, use="fit")[:2]
    taught = Data(world.folder, (*refused, *memory, *few), world.embedded)
    method = excise.methods.make("refusal", {"steps": "60", "batch": "8", "lr": "5e-3"})
    run = excise.forget(original, taught, method=method, out=tmp_path / "run")
    found = audit(original, world, run=run, preset="quick", only=["plain"])
    failed = {line["figure"] for line in found["gate"]["lines"] if line["status"] == "failed"}
    assert {"refusal.unseen", "kept.understanding.unseen", "kept.memory"} <= failed
    assert found["figures"]["leak.plain"]["mean"] <= 0.01
