"""RMU: where in the model it acts, on which tokens, and where it takes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from excise.methods.material import retained, to_forget
from excise.methods.method import Material
from excise.methods.registry import make
from excise.methods.rmu import RMU, Texts, activations, direction
from excise.records.data import Data
from excise.records.errors import InputError
from excise.records.record import Record
from excise.training import FitSettings
from excise.vlm import VLM, Packer, Row, Turn, rows_from_records
from excise.weights.run import Run

QUICK = FitSettings(rank=4, alpha=8, lr=2e-2, steps=8, batch=4)
TURNS = (
    Turn("Who is this?", "Vera Lindqvist"),
    Turn("Where does Vera live?", "In Riga."),
    Turn("Who is shown?", "Vera"),
)
LOWEST = "model.language_model.layers.0"


def material(vlm: VLM, data: Data, folder: Path) -> Material:
    few = retained(data, RMU())
    return Material(vlm, data, to_forget(data), few, [], folder, 3, lambda *told: None)


def read_alone(vlm: VLM, picture: Image.Image | None, turn: Turn) -> tuple[torch.Tensor, Any]:
    shown = "" if picture is None else "<image>"
    text = f"<bos><user>{shown}{turn.question}<assistant>{turn.answer}<end>"
    given: Any = vlm.processor
    inputs = given(images=picture, text=text, return_tensors="pt")
    return inputs["input_ids"][0], inputs


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("packed", [True, False])
def test_a_text_is_question_and_answer_without_picture_and_padding(
    attention: str,
    packed: bool,
    tiny: VLM,
    pictures: list[Image.Image],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The mean of an arbitrary value of each token, against a loop over the tokens."""
    tiny.model.set_attn_implementation(attention)
    if not packed:
        monkeypatch.setattr("excise.vlm.packing.sharing_obstacle", lambda *_: "for the test's sake")
    packer = Packer(tiny.processor, tiny.model)
    rows = [Row(pictures[0], TURNS), Row(None, TURNS[1:2]), Row(None, TURNS)]
    batch = packer.collate([packer.encode(row) for row in rows])
    value = torch.rand(320, generator=torch.Generator().manual_seed(0))
    image = tiny.processor.tokenizer.convert_tokens_to_ids("<image>")
    expected = []
    for row in rows:
        for turn in row.turns:
            ids, _ = read_alone(tiny, row.picture, turn)
            expected.append(sum(value[i].item() for i in ids if i != image) / (ids != image).sum())
    found = Texts(batch, image).means(value[batch["input_ids"]])
    torch.testing.assert_close(found, torch.tensor(expected))


def test_activations_are_the_blocks_own_output(tiny: VLM, pictures: list[Image.Image]) -> None:
    packer = Packer(tiny.processor, tiny.model)
    batch = packer.collate([packer.encode(Row(pictures[0], TURNS[:1]))])
    _, inputs = read_alone(tiny, pictures[0], TURNS[0])
    block = tiny.model.get_submodule(LOWEST)
    with torch.no_grad():
        expected = tiny.model(**inputs, output_hidden_states=True).hidden_states[1]
        hooks = [*block._forward_hooks]
        found = activations(tiny.model, block, batch)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert [*block._forward_hooks] == hooks  # nobody is left listening


def test_the_direction_is_a_unit_vector_of_the_seed() -> None:
    u = direction(4096, 7)
    assert u.norm().item() == pytest.approx(1) and u.min() >= 0
    assert torch.equal(u, direction(4096, 7)) and not torch.equal(u, direction(4096, 8))


def test_forgotten_texts_turn_to_the_direction_and_retained_ones_are_held(
    tiny: VLM, data: Data, tmp_path: Path
) -> None:
    towards: dict[tuple[str, float], float] = {}
    for retain in (0.0, 100.0):
        given = material(tiny, data, tmp_path / str(retain))
        edit = RMU(steering=12.0, retain=retain, fit=QUICK).run(given)
        sides = {"forget": given.forget, "few": given.few}
        before = {name: inside(tiny, data, records) for name, records in sides.items()}
        with Run(given.folder, {"base": {"weights_hash": tiny.weights_hash}}, edit).applied(tiny):
            after = {name: inside(tiny, data, records) for name, records in sides.items()}
        u = direction(32, given.seed)
        for name in sides:
            towards[name, retain] = ((after[name] - before[name]) @ u).mean().item()
    assert towards["forget", 0.0] > 1
    # In so small a model both sides go the same way; the second term holds them back.
    assert abs(towards["few", 100.0]) < 0.1 * towards["few", 0.0]


@torch.no_grad()
def inside(vlm: VLM, data: Data, records: Sequence[Record]) -> torch.Tensor:
    packer = Packer(vlm.processor, vlm.model)
    rows = [packer.encode(row) for row in rows_from_records(data, records)]
    return activations(vlm.model, vlm.model.get_submodule(LOWEST), packer.collate(rows))


def test_adapters_above_the_layer_stay_at_zero(tiny: VLM, data: Data, tmp_path: Path) -> None:
    RMU(retain=1.0, fit=QUICK).run(material(tiny, data, tmp_path))
    factors = load_file(tmp_path / "forgetting" / "adapter_model.safetensors")
    moved = {name for name, tensor in factors.items() if "lora_B" in name and tensor.any()}
    assert len(moved) == 7 and all(LOWEST in name for name in moved)


@pytest.mark.parametrize(("layer", "reason"), [("2", "expected at most 1"), ("-1", "Input")])
def test_a_layer_that_the_model_does_not_have_is_refused_before_training(
    layer: str, reason: str, tiny: VLM, data: Data, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=f"rmu: option layer={layer}: {reason}"):
        make("rmu", {"layer": layer}).run(material(tiny, data, tmp_path))
    assert list(tmp_path.iterdir()) == []
