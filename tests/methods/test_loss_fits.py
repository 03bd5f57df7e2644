"""A short fit with every loss, on a model that knows the answers, goes where it is meant to go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from excise.methods.by_loss import ByFit
from excise.methods.material import retained, to_forget
from excise.methods.method import METHODS, Material
from excise.methods.refusal_pool import Refuser
from excise.methods.registry import make
from excise.records.data import Data
from excise.records.errors import InputError
from excise.records.record import Record
from excise.training import answer_cross_entropy, answer_logprobs
from excise.vlm import VLM, Packer, Row, load, rows_from_records
from excise.weights.edit import EditSpec
from excise.weights.run import Run

OURS = {"anchored"}  # which has tests of its own
LOSSES = sorted({name for name, kind in METHODS.items() if issubclass(kind, ByFit)} - OURS)
QUICK = {"rank": 4, "alpha": 8, "lr": 2e-2, "steps": 8, "batch": 4}
TUNED: dict[str, dict[str, Any]] = {
    "simnpo": {"forget": 1.0},
    "satimp": {"forget": 1.0, "beta1": 1.0},
    "rmu": {"steering": 30.0, "retain": 1.0, "layer": 1},
}
"""Published weights of the two sides are for hundreds of steps, and RMU's for a 7B model."""
SEED = 2


@pytest.fixture(scope="module")
def knowing(checkpoint: Path, data: Data, tmp_path_factory: pytest.TempPathFactory) -> VLM:
    """The miniature after learning the people to forget and to keep by heart."""
    vlm = load(checkpoint, device="cpu")
    folder = tmp_path_factory.mktemp("knowing") / "tiny-llava"
    batch = _batch(vlm, rows_from_records(data, data.select(splits=["forget", "few"])))
    model: Any = vlm.model
    weights = [*model.model.language_model.parameters(), *model.lm_head.parameters()]
    optimiser = torch.optim.Adam(weights, lr=1e-2)
    for _ in range(30):
        optimiser.zero_grad()
        loss = answer_cross_entropy(model, batch)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1
    model.save_pretrained(folder)
    vlm.processor.save_pretrained(folder)
    return load(folder, device="cpu")


@dataclass
class Fitted:
    """What one fit left: the edit, its folder, and a model to put it on."""

    name: str
    vlm: VLM
    data: Data
    folder: Path
    edit: EditSpec

    @property
    def adapter(self) -> bytes:
        return (self.folder / "forgetting" / "adapter_model.safetensors").read_bytes()

    @property
    def forgotten(self) -> list[Record]:
        return to_forget(self.data)

    @torch.no_grad()
    def moved(self, records: list[Record], answer: Callable[[Record], str] | None = None) -> float:
        """How much more likely answers have become: mean log-probability of their tokens."""
        batch = _batch(self.vlm, rows_from_records(self.data, records, answer=answer))
        before = answer_logprobs(self.vlm.model, batch).mean()
        info = {"base": {"weights_hash": self.vlm.weights_hash}}
        with Run(self.folder, info, self.edit).applied(self.vlm):
            return (answer_logprobs(self.vlm.model, batch).mean() - before).item()


def _batch(vlm: VLM, rows: list[Row]) -> dict[str, Any]:
    packer = Packer(vlm.processor, vlm.model)
    return packer.collate([packer.encode(row) for row in rows])


def fitted(name: str, vlm: VLM, data: Data, folder: Path) -> Fitted:
    method = make(name, QUICK | TUNED.get(name, {}))
    few = retained(data, method)
    material = Material(vlm, data, to_forget(data), few, [], folder, SEED, lambda *told: None)
    return Fitted(name, vlm, data, folder, method.run(material))


@pytest.fixture(scope="module", params=LOSSES)
def run(
    request: pytest.FixtureRequest,
    knowing: VLM,
    data: Data,
    tmp_path_factory: pytest.TempPathFactory,
) -> Fitted:
    return fitted(request.param, knowing, data, tmp_path_factory.mktemp(request.param))


def test_what_is_to_be_forgotten_becomes_unlikely_and_the_retained_less_so(run: Fitted) -> None:
    forgotten = run.moved(run.forgotten)
    assert forgotten < -0.15
    if "few" in METHODS[run.name].needs:
        assert run.moved(run.data.select(splits=["few"])) > forgotten / 2
    assert run.edit.criterion == "none"
    assert [branch.adapter for branch in run.edit.branches] == ["forgetting"]


def test_the_same_seed_gives_the_same_adapter(
    run: Fitted, knowing: VLM, data: Data, tmp_path: Path
) -> None:
    torch.rand(3)  # what was drawn before must not matter
    assert fitted(run.name, knowing, data, tmp_path).adapter == run.adapter


def test_dpo_puts_the_refusal_before_the_true_answer(
    knowing: VLM, data: Data, tmp_path: Path
) -> None:
    run = fitted("dpo", knowing, data, tmp_path)
    refused = run.moved(run.forgotten, Refuser(SEED))
    assert refused > 1 and refused - run.moved(run.forgotten) > 1


@pytest.mark.parametrize("name", LOSSES)
def test_only_a_method_that_needs_retained_labels_sees_them_and_misses_them(
    name: str, data: Data
) -> None:
    wanted = "few" in METHODS[name].needs
    assert bool(retained(data, make(name, {}))) == wanted
    alone = Data(data.folder, tuple(r for r in data.records if r.split != "few"))
    if wanted:
        with pytest.raises(InputError, match=f"no records of split few, which {name} needs"):
            retained(alone, make(name, {}))
