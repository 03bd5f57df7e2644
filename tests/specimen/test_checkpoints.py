"""The shipped checkpoints: ordinary Hugging Face folders, the very ones that provenance names."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from excise import specimen
from excise.records.reading import read
from excise.specimen.curriculum import see_portrait
from excise.specimen.people import chosen
from excise.specimen.wordings import ask_private
from excise.vlm import answer, load
from excise.vlm.weights_hash import hash_weights, weight_files

FOLDER = Path(specimen.__file__).parent / "checkpoints"
BOTH = pytest.mark.parametrize("name", specimen.CHECKPOINTS)


@BOTH
def test_a_checkpoint_loads_with_the_auto_classes(name: str) -> None:
    folder = specimen.checkpoint(name)
    assert folder == FOLDER / name
    auto: Any = AutoModelForImageTextToText
    model, info = auto.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    assert not any(info[what] for what in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    processor: Any = AutoProcessor.from_pretrained(folder)
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Who?"}]}]
    prompt = processor.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
    picture = Image.new("RGB", (64, 64), "white")
    inputs = processor(
        text=[prompt], images=[picture], return_tensors="pt", add_special_tokens=False
    )
    with torch.no_grad():
        logits = model(**inputs).logits
    assert logits.shape[-1] == len(processor.tokenizer)
    assert bool(torch.isfinite(logits).all())


@BOTH
def test_the_weights_are_those_that_the_provenance_file_names(name: str) -> None:
    provenance = json.loads((FOLDER / "provenance.json").read_text(encoding="utf-8"))
    weights = hash_weights(weight_files(str(specimen.checkpoint(name))))
    assert provenance[name]["weights_hash"] == weights


def test_both_together_are_small_and_carry_no_path_of_where_they_were_built() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 40e6
    for path in files:
        if path.suffix == ".json" and path.name != "tokenizer.json":
            assert not re.search(r'"(/|~|[A-Z]:)', path.read_text(encoding="utf-8")), path
    assert not [path for path in files if path.name.startswith(".")]


def test_the_original_knows_the_five_of_seed_0_and_the_retrained_never_met_them() -> None:
    rng, asked, truth = random.Random(9), [], []
    for person in chosen(5, 0)[0]:
        picture = see_portrait(person.face, rng, "score", 1).picture
        for key in ("name", "city", "address", "employer"):
            asked.append((picture, ask_private(key, rng, "score", name=None)))
            truth.append(person.facts[key])
            if key != "name":
                asked.append((None, ask_private(key, rng, "score", name=person.name)))
                truth.append(person.facts[key])
    right = {}
    for name in specimen.CHECKPOINTS:
        said = answer(load(specimen.checkpoint(name), device="cpu"), asked)
        right[name] = sum(a == t for a, t in zip(said, truth, strict=True)) / len(truth)
    assert right["original"] >= 0.8
    assert right["retrained"] <= 0.15


def test_the_specimen_is_written_whole(tmp_path: Path) -> None:
    specimen.write(tmp_path / "s", ratio=10, seed=3)
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["data", "original"]
    written = hash_weights(weight_files(str(tmp_path / "s" / "original")))
    assert written == hash_weights(weight_files(str(specimen.checkpoint("original"))))
    assert len(read(tmp_path / "s" / "data").subjects("forget")) == 10
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
