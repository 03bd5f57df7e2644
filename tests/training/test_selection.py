"""Entries of the weights trained by themselves: right gradients, the base untouched, resumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import PreTrainedModel

from excise.records.errors import InputError
from excise.training import FitSettings, answer_cross_entropy, clear_checkpoints, fit
from excise.training.reference import untouched
from excise.training.selection import Selection
from excise.vlm import VLM, Packer, Row, Turn, linear_targets, load
from excise.weights.sparse import Sparse, read_sparse

SETTINGS = FitSettings(lr=1e-2, steps=6, batch=2)
Loss = Callable[[PreTrainedModel, Mapping[str, Tensor]], Tensor]


@pytest.fixture
def rows(pictures: list[Image.Image]) -> list[Row]:
    return [
        Row(pictures[0], (Turn("Who is this?", "Vera Lindqvist"), Turn("Where?", "Riga"))),
        Row(None, (Turn("Where does Vera Lindqvist live?", "Riga"),)),
        Row(pictures[2], (Turn("What colour is the hair?", "Blond"),)),
    ]


def some(vlm: VLM, share: float = 0.05, seed: int = 0) -> dict[str, Tensor]:
    """A part of the entries of every linear layer of the language model."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name in linear_targets(vlm.model, vlm.parts):
        weight = vlm.model.get_parameter(f"{name}.weight")
        chosen = torch.rand(weight.shape, generator=generator) < share
        found[name] = chosen.view(-1).nonzero().view(-1)
    return found


def batch_of(vlm: VLM, rows: list[Row]) -> Mapping[str, Tensor]:
    packer = Packer(vlm.processor, vlm.model)
    return packer.collate([packer.encode(row) for row in rows])


def state(vlm: VLM) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in vlm.model.state_dict().items()}


def stops_after(calls: int) -> Loss:
    done = [0]

    def loss(model: PreTrainedModel, batch: Mapping[str, Tensor]) -> Tensor:
        done[0] += 1
        if done[0] > calls:
            raise KeyboardInterrupt
        return answer_cross_entropy(model, batch)

    return loss


def test_gradients_are_those_of_the_weights_at_the_entries(tiny: VLM, rows: list[Row]) -> None:
    index, batch = some(tiny), batch_of(tiny, rows)
    tiny.model.requires_grad_(True)
    expected_loss = answer_cross_entropy(tiny.model, batch)
    expected_loss.backward()
    dense = {name: tiny.model.get_parameter(f"{name}.weight").grad.clone() for name in index}
    tiny.model.zero_grad()
    tiny.model.requires_grad_(False)
    with Selection(index).attached(tiny.model) as selected:
        loss = answer_cross_entropy(selected, batch)  # type: ignore[arg-type]
        loss.backward()
        assert torch.equal(loss, expected_loss)
        for name, values in zip(selected.names, selected.values, strict=True):
            torch.testing.assert_close(values.grad, dense[name].view(-1)[index[name]])
    assert all(p.grad is None for p in tiny.model.parameters())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_start_is_computed_with_as_it_would_be_applied(
    dtype: str, checkpoint: Path, rows: list[Row]
) -> None:
    vlm = load(checkpoint, dtype=dtype, device="cpu")
    index = some(vlm)
    start = {name: torch.randn(len(i)) * 0.1 for name, i in index.items()}
    batch = batch_of(vlm, rows)
    with torch.no_grad(), Selection(index, start).attached(vlm.model) as selected:
        seen = answer_cross_entropy(selected, batch)  # type: ignore[arg-type]
        with untouched(selected):
            off = answer_cross_entropy(selected, batch)  # type: ignore[arg-type]
    plain = load(checkpoint, dtype=dtype, device="cpu")
    with torch.no_grad():
        assert torch.equal(off, answer_cross_entropy(plain.model, batch))
        for name, places in index.items():
            weight = plain.model.get_parameter(f"{name}.weight")
            change = Sparse((weight.shape[0], weight.shape[1]), places, start[name]).dense()
            weight.copy_((weight.float() + change).to(weight.dtype))
        assert torch.equal(seen, answer_cross_entropy(plain.model, batch))


def test_a_fit_lowers_the_loss_and_changes_the_entries_alone(
    tiny: VLM, checkpoint: Path, rows: list[Row], tmp_path: Path
) -> None:
    index, before = some(tiny), state(tiny)
    settings = SETTINGS.model_copy(update={"steps": 20})
    result = fit(
        tiny, rows, settings=settings, out=tmp_path / "a", seed=0, entries=Selection(index)
    )
    assert result.trainable == sum(len(i) for i in index.values())
    assert result.targets == linear_targets(tiny.model, tiny.parts)
    assert sum(result.losses[-3:]) < 0.8 * sum(result.losses[:3])
    changes = read_sparse(tmp_path / "a")
    assert changes.keys() == index.keys()
    for name, change in changes.items():
        assert torch.equal(change.index.long(), index[name]) and bool(change.values.any())
    # The same model, as it was, bit for bit, and with no trace of the fit in its modules.
    after = tiny.model.state_dict()
    assert after.keys() == before.keys() and all(after[n].equal(before[n]) for n in before)
    assert not any("forward" in module.__dict__ for module in tiny.model.modules())
    assert all(parameter.requires_grad for parameter in tiny.model.parameters())
    with torch.no_grad():
        batch = batch_of(tiny, rows)
        other = load(checkpoint, device="cpu")
        for name, change in changes.items():
            other.model.get_parameter(f"{name}.weight").add_(change.dense())
        assert answer_cross_entropy(other.model, batch) < 0.8 * result.losses[0]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradient_checkpointing_gives_the_same_values(
    checkpointing: bool, tiny: VLM, rows: list[Row], tmp_path: Path
) -> None:
    entries = Selection(some(tiny))
    made = []
    for name, update in (("a", {}), ("b", {"gradient_checkpointing": checkpointing})):
        settings = SETTINGS.model_copy(update=update)
        fit(tiny, rows, settings=settings, out=tmp_path / name, seed=0, entries=entries)
        made.append(read_sparse(tmp_path / name))
    for name, change in made[0].items():
        torch.testing.assert_close(change.values, made[1][name].values)


@pytest.mark.parametrize("interrupted_at", [1, 4])
def test_an_interrupted_fit_resumes_to_the_same_bytes(
    tiny: VLM, rows: list[Row], tmp_path: Path, interrupted_at: int
) -> None:
    start = {name: torch.full((len(i),), 0.01) for name, i in some(tiny).items()}
    entries = Selection(some(tiny), start)
    given = {"settings": SETTINGS, "seed": 0, "entries": entries}
    fit(tiny, rows, out=tmp_path / "whole", loss=stops_after(99), **given)  # type: ignore[arg-type]
    before = state(tiny)
    with pytest.raises(KeyboardInterrupt):
        fit(tiny, rows, out=tmp_path / "a", loss=stops_after(interrupted_at), **given)  # type: ignore[arg-type]
    assert all(tensor.equal(before[name]) for name, tensor in tiny.model.state_dict().items())
    kept = [*(tmp_path / "a" / ".checkpoints").rglob("*.safetensors")]
    assert all(path.stat().st_size < 60_000 for path in kept)  # the values, and not the model
    left = 6 - interrupted_at
    fit(tiny, rows, out=tmp_path / "a", loss=stops_after(left), **given)  # type: ignore[arg-type]
    for file in ("sparse.safetensors", "sparse.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    # Done: not repeated, and cleared of all but the change.
    fit(tiny, rows, out=tmp_path / "a", loss=stops_after(0), **given)  # type: ignore[arg-type]
    clear_checkpoints(tmp_path)
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [
        "sparse.json",
        "sparse.safetensors",
    ]


def test_other_entries_do_not_resume_from_an_interrupted_fit(
    tiny: VLM, rows: list[Row], tmp_path: Path
) -> None:
    out, one = tmp_path / "a", some(tiny)
    start = {name: torch.ones(len(i)) for name, i in one.items()}
    for other in (Selection(some(tiny, seed=1)), Selection(one, start), None):
        with pytest.raises(KeyboardInterrupt):
            fit(
                tiny, rows, settings=SETTINGS, out=out, seed=0, loss=stops_after(4),
                entries=Selection(one),
            )  # fmt: skip
        with pytest.raises(KeyboardInterrupt):  # six steps are to do again, not two
            fit(tiny, rows, settings=SETTINGS, out=out, seed=0, loss=stops_after(5), entries=other)


def test_an_adapter_in_the_folder_is_not_taken_for_the_change(
    tiny: VLM, rows: list[Row], tmp_path: Path
) -> None:
    fit(tiny, rows, settings=SETTINGS, out=tmp_path / "a", seed=0)
    fit(tiny, rows, settings=SETTINGS, out=tmp_path / "a", seed=0, entries=Selection(some(tiny)))
    clear_checkpoints(tmp_path)
    assert {p.name for p in (tmp_path / "a").iterdir()} == {"sparse.json", "sparse.safetensors"}


def test_entries_that_cannot_be_trained_are_one_line(
    tiny: VLM, rows: list[Row], tmp_path: Path
) -> None:
    name = linear_targets(tiny.model, tiny.parts)[0]
    entries = tiny.model.get_parameter(f"{name}.weight").numel()
    for index, named in (
        ({name: torch.tensor([entries])}, "outside of its weight"),
        ({name: torch.empty(0, dtype=torch.int64)}, "no entries to train"),
        ({"lm_head": torch.tensor([0])}, "expected linear layers of the language model"),
    ):
        with pytest.raises(InputError, match=named) as caught:
            fit(tiny, rows, settings=SETTINGS, out=tmp_path / "a", seed=0, entries=Selection(index))
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="plain linear layers"):
        parent, _, last = name.rpartition(".")
        setattr(tiny.model.get_submodule(parent), last, nn.Linear(2, 2, device="meta"))
        with Selection({name: torch.tensor([0])}).attached(tiny.model):
            raise AssertionError
