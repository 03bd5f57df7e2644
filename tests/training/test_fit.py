from __future__ import annotations

import copy
import json
import random
import resource
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel

from excise.records.errors import InputError
from excise.training import FitSettings, answer_cross_entropy, clear_checkpoints, fit
from excise.vlm import VLM, Packer, Row, Turn, linear_targets, load

WEIGHTS = "adapter_model.safetensors"
SETTINGS = FitSettings(rank=4, alpha=8, dropout=0.1, lr=1e-2, steps=6, batch=2)
Loss = Callable[[PreTrainedModel, Mapping[str, Tensor]], Tensor]


@pytest.fixture
def rows(pictures: list[Image.Image]) -> list[Row]:
    return [
        Row(pictures[0], (Turn("Who is this?", "Vera Lindqvist"), Turn("Where?", "Riga"))),
        Row(pictures[1], (Turn("Who is this?", "Edgar Montfort"),)),
        Row(None, (Turn("Where does Vera Lindqvist live?", "Riga"),)),
        Row(pictures[2], (Turn("What colour is the hair?", "Blond"), Turn("Who?", "Nobody"))),
        Row(None, (Turn("Where does Edgar Montfort work?", "Tallinn"),)),
    ]


def state(model: PreTrainedModel) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def stops_after(calls: int) -> Loss:
    done = [0]

    def loss(model: PreTrainedModel, batch: Mapping[str, Tensor]) -> Tensor:
        done[0] += 1
        if done[0] > calls:
            raise KeyboardInterrupt
        return answer_cross_entropy(model, batch)

    return loss


def test_a_fit_lowers_the_loss_and_writes_an_adapter_that_peft_loads(
    tiny: VLM, checkpoint: Path, rows: list[Row], tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(update={"steps": 20})
    result = fit(tiny, rows, settings=settings, out=tmp_path / "a", seed=0)
    assert result.steps == len(result.losses) == 20
    assert sum(result.losses[-3:]) < 0.8 * sum(result.losses[:3])
    assert result.targets == linear_targets(tiny.model, tiny.parts)

    weights = load_file(tmp_path / "a" / WEIGHTS)
    assert sum(tensor.numel() for tensor in weights.values()) == result.trainable
    assert all(tensor.dtype == torch.float32 for tensor in weights.values())

    packer = Packer(tiny.processor, tiny.model)
    batch = packer.collate([packer.encode(row) for row in rows])
    with torch.no_grad():
        before = answer_cross_entropy(tiny.model, batch).item()
        adapted = PeftModel.from_pretrained(load(checkpoint, device="cpu").model, tmp_path / "a")
        after = answer_cross_entropy(adapted, batch).item()  # type: ignore[arg-type]
    assert after < 0.8 * before


def test_the_adapter_names_its_targets_exactly_and_no_local_path(
    tiny: VLM, rows: list[Row], tmp_path: Path
) -> None:
    result = fit(tiny, rows, settings=SETTINGS, out=tmp_path / "a", seed=0)
    text = (tmp_path / "a" / "adapter_config.json").read_text()
    config = json.loads(text)
    assert config["target_modules"] == sorted(result.targets)
    assert config["base_model_name_or_path"] == "tiny-llava"
    assert str(tmp_path) not in text
    assert str(Path(tiny.source).parent) not in text
    names = {name.removeprefix("base_model.model.") for name in load_file(tmp_path / "a" / WEIGHTS)}
    assert names == {f"{t}.lora_{half}.weight" for t in result.targets for half in "AB"}


@pytest.mark.parametrize("fails", [False, True])
def test_the_base_model_is_afterwards_exactly_as_it_was(
    tiny: VLM, rows: list[Row], tmp_path: Path, fails: bool
) -> None:
    model = tiny.model
    model.model.language_model.train()  # a mixed state, which has to come back as it is
    model.lm_head.weight.requires_grad_(False)
    before = state(model)
    modules = {name: id(module) for name, module in model.named_modules()}
    modes = {name: module.training for name, module in model.named_modules()}
    frozen = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    config, generation = model.config.to_dict(), model.generation_config.to_dict()
    attributes = {k: copy.copy(v) for k, v in model.__dict__.items() if not k.startswith("_")}

    if fails:
        with pytest.raises(KeyboardInterrupt):
            fit(tiny, rows, settings=SETTINGS, out=tmp_path / "a", seed=0, loss=stops_after(2))
    else:
        fit(tiny, rows, settings=SETTINGS, out=tmp_path / "a", seed=0)

    after = state(model)
    assert after.keys() == before.keys()
    assert all(after[name].equal(before[name]) for name in before)
    assert {name: id(module) for name, module in model.named_modules()} == modules
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert {n: p.requires_grad for n, p in model.named_parameters()} == frozen
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.config.to_dict() == config
    assert model.generation_config.to_dict() == generation
    assert {k for k in model.__dict__ if not k.startswith("_")} == attributes.keys()
    assert model.__dict__.get("name_or_path") == attributes.get("name_or_path")


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(
    tiny: VLM, rows: list[Row], tmp_path: Path
) -> None:
    made = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        torch.rand(len(made))  # what was drawn before must not matter
        fit(tiny, rows, settings=SETTINGS, out=tmp_path / name, seed=seed)
        made.append((tmp_path / name / WEIGHTS).read_bytes())
    assert made[0] == made[1]
    assert made[0] != made[2]


def test_a_fit_leaves_the_global_generators_as_they_were(
    tiny: VLM, rows: list[Row], tmp_path: Path
) -> None:
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    fit(tiny, rows, settings=SETTINGS, out=tmp_path / "a", seed=0)
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    assert torch.get_rng_state().equal(before[2])


@pytest.mark.parametrize("interrupted_at", [1, 4])
def test_an_interrupted_fit_resumes_to_the_same_adapter(
    tiny: VLM, rows: list[Row], tmp_path: Path, interrupted_at: int
) -> None:
    whole = fit(tiny, rows, settings=SETTINGS, out=tmp_path / "whole", seed=0, loss=stops_after(99))
    with pytest.raises(KeyboardInterrupt):
        fit(
            tiny,
            rows,
            settings=SETTINGS,
            out=tmp_path / "again",
            seed=0,
            loss=stops_after(interrupted_at),
        )
    assert not (tmp_path / "again" / "adapter_config.json").exists()
    left = SETTINGS.steps - interrupted_at if SETTINGS.steps else 0
    again = fit(
        tiny, rows, settings=SETTINGS, out=tmp_path / "again", seed=0, loss=stops_after(left)
    )
    assert again.losses == whole.losses
    one, two = (tmp_path / name / WEIGHTS for name in ("whole", "again"))
    assert one.read_bytes() == two.read_bytes()


def test_a_half_written_checkpoint_is_passed_over(
    tiny: VLM, rows: list[Row], tmp_path: Path
) -> None:
    whole = fit(tiny, rows, settings=SETTINGS, out=tmp_path / "whole", seed=0, loss=stops_after(99))
    with pytest.raises(KeyboardInterrupt):
        fit(tiny, rows, settings=SETTINGS, out=tmp_path / "a", seed=0, loss=stops_after(4))
    (tmp_path / "a" / ".checkpoints" / "checkpoint-4" / "trainer_state.json").write_text("{")
    again = fit(tiny, rows, settings=SETTINGS, out=tmp_path / "a", seed=0, loss=stops_after(3))
    assert again.losses == whole.losses


def test_other_settings_or_rows_do_not_resume_from_an_interrupted_fit(
    tiny: VLM, rows: list[Row], tmp_path: Path
) -> None:
    out = tmp_path / "a"
    for other in (
        {"settings": SETTINGS.model_copy(update={"lr": 1e-3})},
        {"rows": rows[:-1]},
        {"seed": 1},
        {"identity": "another loss"},
    ):
        given = {"rows": rows, "settings": SETTINGS, "seed": 0} | other
        with pytest.raises(KeyboardInterrupt):
            fit(tiny, rows, settings=SETTINGS, out=out, seed=0, loss=stops_after(4))
        with pytest.raises(KeyboardInterrupt):  # six steps are to do again, not two
            fit(tiny, out=out, loss=stops_after(5), **given)  # type: ignore[arg-type]
        clear_checkpoints(out)


def test_a_finished_fit_is_not_repeated_and_clearing_leaves_the_adapter_alone(
    tiny: VLM, rows: list[Row], tmp_path: Path
) -> None:
    out = tmp_path / "run" / "forgetting"
    first = fit(tiny, rows, settings=SETTINGS, out=out, seed=0, loss=stops_after(6))
    again = fit(tiny, rows, settings=SETTINGS, out=out, seed=0, loss=stops_after(0))
    assert again == first
    clear_checkpoints(tmp_path / "run")
    assert sorted(path.name for path in out.rglob("*")) == ["adapter_config.json", WEIGHTS]


def test_no_private_answer_is_left_in_the_folder_and_nothing_is_printed(
    tiny: VLM, rows: list[Row], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fit(tiny, rows, settings=SETTINGS, out=tmp_path / "a", seed=0)
    for path in (tmp_path / "a").rglob("*"):
        if path.is_file():
            assert b"Lindqvist" not in path.read_bytes()
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err == ""


def test_bfloat16_autocast_keeps_the_adapter_in_float32_and_does_not_outlast_the_fit(
    tiny: VLM, rows: list[Row], tmp_path: Path
) -> None:
    dtypes: list[torch.dtype] = []
    head = tiny.model.get_output_embeddings()

    def loss(model: PreTrainedModel, batch: Mapping[str, Tensor]) -> Tensor:
        assert all(p.dtype == torch.float32 for p in model.parameters() if p.requires_grad)
        handle = head.register_forward_hook(lambda *given: dtypes.append(given[-1].dtype))
        try:
            return answer_cross_entropy(model, batch)
        finally:
            handle.remove()

    for precision in ("bf16", "fp32"):
        settings = SETTINGS.model_copy(update={"precision": precision, "steps": 1})
        fit(tiny, rows, settings=settings, out=tmp_path / precision, seed=0, loss=loss)
    assert dtypes == [torch.bfloat16, torch.float32]
    assert "forward" not in tiny.model.__dict__  # accelerate wraps it for autocast


def test_a_model_in_bfloat16_is_trained_with_a_float32_adapter(
    checkpoint: Path, rows: list[Row], tmp_path: Path
) -> None:
    vlm = load(checkpoint, dtype="bfloat16", device="cpu")
    before = state(vlm.model)
    fit(vlm, rows, settings=SETTINGS, out=tmp_path / "a", seed=0)
    assert all(t.dtype == torch.float32 for t in load_file(tmp_path / "a" / WEIGHTS).values())
    assert all(tensor.equal(before[name]) for name, tensor in vlm.model.state_dict().items())


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_every_schedule_runs_with_warmup(
    tiny: VLM, rows: list[Row], tmp_path: Path, schedule: str
) -> None:
    settings = FitSettings(rank=2, epochs=1, batch=2, warmup=0.5, schedule=schedule)  # type: ignore[arg-type]
    assert fit(tiny, rows, settings=settings, out=tmp_path / "a", seed=0).steps == 3


def test_an_output_that_cannot_be_written_is_one_line(
    tiny: VLM, rows: list[Row], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        fit(tiny, rows, settings=SETTINGS, out=tmp_path / "file" / "a", seed=0)
    with pytest.raises(InputError, match="no rows"):
        fit(tiny, [], settings=SETTINGS, out=tmp_path / "a", seed=0)


@pytest.mark.parametrize("room", [2_000, 9_000, 40_000])
def test_a_full_disk_is_one_line_and_leaves_no_adapter_and_the_model_intact(
    tiny: VLM, rows: list[Row], tmp_path: Path, room: int
) -> None:
    # A limit on the size of a file stands in for the disk: writing fails at the same places.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = state(tiny.model)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(InputError, match="cannot be written") as caught:
            fit(tiny, rows, settings=SETTINGS, out=tmp_path / "a", seed=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "a" / "adapter_config.json").exists()
    assert all(t.equal(before[name]) for name, t in tiny.model.state_dict().items())
    fit(tiny, rows, settings=SETTINGS, out=tmp_path / "a", seed=0)  # goes on when there is room
