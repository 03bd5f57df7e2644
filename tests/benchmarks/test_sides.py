"""The benchmarks in miniature: both sides do the same mathematics, and the figures are written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FIGURES = {
    "ratio", "memory_ratio", "questions_per_second", "memory_mib", "flops_per_question",
    "share_of_limit", "limit_flops_per_second", "same", "setting", "machine", "versions",
}  # fmt: skip
TRAINING = "--pictures 2 --questions 3 --rows 1 --epochs 2 --turns 2".split()
EVALUATION = "--pictures 2 --questions 3 --new-tokens 6 --turns 2".split()


def written(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    assert set(found) >= FIGURES
    assert found["ratio"]["low"] <= found["ratio"]["median"] <= found["ratio"]["high"]
    assert found["memory_ratio"] > 0
    for what in ("questions_per_second", "flops_per_question", "share_of_limit"):
        assert set(found[what]) == {"usual", "excise"}
        assert all(value > 0 for value in found[what].values())
    return found


def test_training_takes_turns_in_two_processes_and_writes_its_figures(
    scripts: dict[str, ModuleType], checkpoint: Path, tmp_path: Path
) -> None:
    out, script = tmp_path / "figures.json", str(scripts["training"].__file__)
    done = subprocess.run(
        [
            *(sys.executable, script, "--threads", "1"),
            *("--model", str(checkpoint), *TRAINING, "--json", str(out)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "speed ratio" in done.stdout
    assert "goal, at least 4 times the questions a second:" in done.stdout
    found = written(out)
    assert len(found["seconds"]["usual"]) == len(found["seconds"]["excise"]) == 2
    # The same start, the same order, no dropout: all four steps agree, not the first alone.
    assert found["same"]["largest"] < 1e-4
    # Three questions share a picture, which the usual way puts through the model three times.
    work = found["flops_per_question"]
    assert work["excise"] < 0.8 * work["usual"]
    assert 0 < found["memory_mib"]["excise"] < 100_000


@pytest.mark.usefixtures("in_one_process")
def test_evaluation_gives_the_same_answers_on_both_sides(
    scripts: dict[str, ModuleType], checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "figures.json"
    scripts["evaluation"].main(["--model", str(checkpoint), *EVALUATION, "--json", str(out)])
    found = written(out)
    assert found["same"]["answers"] == 6
    assert found["same"]["different"] == 0
    assert found["same"]["empty"] < 6  # nothing compared with nothing


@pytest.mark.usefixtures("in_one_process")
@pytest.mark.parametrize("shape", ["llava-1.5-7b", "qwen2.5-vl-7b"])
def test_shapes_of_7b_models_train_alike_when_made_small(
    scripts: dict[str, ModuleType], shape: str
) -> None:
    small = ["--model", shape, "--layers", "1", "--scale", "64", "--threads", "1"]
    short = "--pictures 1 --questions 2 --epochs 1 --turns 1".split()
    found = scripts["training"].run([*small, *short])
    assert found["same"]["largest"] < 1e-4
    goals = dict(scripts["training"].goals(found))
    assert set(goals) == {"at least 6 times the questions a second", "at most 70 % of the memory"}


def test_a_loss_that_differs_ends_the_benchmark(scripts: dict[str, ModuleType]) -> None:
    losses = {"usual": [2.0, 1.0], "excise": [2.001, 1.0]}
    assert scripts["training"].same(losses)["first_difference"] == pytest.approx(5e-4)
    with pytest.raises(SystemExit, match="not do the same mathematics"):
        scripts["training"].same({**losses, "excise": [2.003, 1.0]})


def test_labels_of_the_usual_way_are_the_answer_and_its_end_marker(
    scripts: dict[str, ModuleType], checkpoint: Path
) -> None:
    from PIL import Image
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(checkpoint)
    picture = Image.new("RGB", (64, 64))
    batch = scripts["usual"].collator(processor)(
        [(picture, "Who is this?", "Vera"), (picture, "In which city does this person live?", "O")]
    )
    said = [
        processor.tokenizer.decode(ids[labels != -100])
        for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True)
    ]
    assert said == ["Vera<end>", "O<end>"]


def test_ratios_are_taken_turn_by_turn(scripts: dict[str, ModuleType]) -> None:
    readings = scripts["measure"].Readings()
    readings.seconds = {"usual": [4.0, 9.0, 8.0], "excise": [1.0, 3.0, 1.0]}
    assert readings.ratio() == {"median": 4.0, "low": 3.0, "high": 8.0}


def test_nothing_passes_on_turns_that_other_work_slowed(scripts: dict[str, ModuleType]) -> None:
    measure = scripts["measure"]
    readings = measure.Readings(
        flops={"usual": 1, "excise": 1}, memory={"usual": 2, "excise": 1}, limit=1.0
    )
    readings.seconds = {"usual": [36.9, 9.9, 70.9], "excise": [3.3, 3.4, 3.3]}
    found = measure.figures(readings, 400)
    assert found["ratio"]["median"] > 4 and found["ratio_of_fastest_turns"] == pytest.approx(3.0)
    assert not found["quiet"]
    assert measure.verdict(found, met=True).startswith("not judged")
    assert "BUSY MACHINE" in measure.table({**found, "machine": {}})
    readings.seconds = {"usual": [9.9, 10.2], "excise": [3.3, 3.4]}
    assert measure.verdict(measure.figures(readings, 400), met=False) == "MISS"


def test_attention_is_counted_on_a_cpu(scripts: dict[str, ModuleType]) -> None:
    import torch

    q = torch.rand(1, 2, 8, 4, requires_grad=True)
    with scripts["measure"].counted() as flops:
        out = torch.nn.functional.scaled_dot_product_attention(q, q, q)
    product = 2 * 2 * 8 * 8 * 4  # heads, two operations each, queries, keys, width
    assert flops() == 2 * product
    with scripts["measure"].counted() as flops:
        out.sum().backward()
    assert flops() >= 4 * product
