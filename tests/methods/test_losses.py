"""Every loss against its formula, written down a second time on plain transformers in float64.

Here each question is a sequence of its own, the processor reads it, all logits are made at once and
the gradient is autograd's; nothing of packing, roles, chunks and kept references is used.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch.nn.functional import logsigmoid

from excise.methods.by_loss import ByFit
from excise.methods.material import retained, to_forget
from excise.methods.method import METHODS, Material
from excise.methods.pava import QUESTIONS
from excise.methods.registry import make
from excise.records.data import Data
from excise.training.answers import Totals
from excise.vlm import VLM, Packer, Row, Turn, linear_targets
from excise.vlm.load import load

SEED = 5


@dataclass
class Said:
    """One question with its answer of T tokens, as a model reads it alone."""

    role: str
    tokens: Tensor
    now: Tensor
    """(T, vocabulary) log-probabilities of the model in training."""
    then: Tensor
    """The same of the untouched model."""
    inside: Tensor
    """(text tokens, hidden): what the lowest block hands on, at all tokens but the picture's."""
    inside_then: Tensor

    @property
    def logp(self) -> Tensor:
        return self.now.gather(1, self.tokens[:, None])[:, 0]

    @property
    def logp_then(self) -> Tensor:
        return self.then.gather(1, self.tokens[:, None])[:, 0]

    @property
    def ratio(self) -> Tensor:
        return self.logp.sum() - self.logp_then.sum()

    @property
    def kl(self) -> Tensor:
        return (self.then.exp() * (self.then - self.now)).sum(1)


def tokens_of(said: list[Said], role: str, value: Callable[[Said], Tensor]) -> Tensor:
    return torch.cat([value(one) for one in said if one.role == role]).mean()


def answers_of(said: list[Said], role: str, value: Callable[[Said], Tensor]) -> Tensor:
    return torch.stack([value(one) for one in said if one.role == role]).mean()


def retained_loss(said: list[Said]) -> Tensor:
    return -tokens_of(said, "keep", lambda a: a.logp)


def weighted(said: list[Said], weight: Callable[[Tensor], Tensor]) -> Tensor:
    return tokens_of(said, "forget", lambda a: weight(a.logp.detach().exp()) * a.logp)


def npo(said: list[Said], beta: float) -> Tensor:
    return answers_of(said, "forget", lambda a: -2 / beta * logsigmoid(-beta * a.ratio))


def undial(said: list[Said]) -> Tensor:
    def one(a: Said) -> Tensor:
        aim = a.then.clone()
        aim[range(len(aim)), a.tokens] -= 3.0
        return -(aim.softmax(1) * a.now).sum(1)

    return tokens_of(said, "forget", one)


def dpo(said: list[Said]) -> Tensor:
    refused = [a for a in said if a.role == "refused"]
    true = [a for a in said if a.role == "forget"]
    apart = torch.stack([w.ratio - r.ratio for w, r in zip(refused, true, strict=True)])
    return (-2 / 0.4 * logsigmoid(0.4 * apart)).mean() + 0.7 * retained_loss(said)


def rmu(said: list[Said]) -> Tensor:
    aim = torch.rand(32, generator=torch.Generator().manual_seed(SEED)).double()
    aim = 2.5 * aim / aim.square().sum().sqrt()
    turned = answers_of(said, "forget", lambda a: (a.inside - aim).square().mean())
    moved = answers_of(said, "keep", lambda a: (a.inside - a.inside_then).square().mean())
    return turned + 7 * moved


CASES: dict[str, tuple[dict[str, Any], Callable[[list[Said]], Tensor]]] = {
    "gradient_ascent": ({}, lambda said: tokens_of(said, "forget", lambda a: a.logp)),
    "gradient_difference": (
        {"retain": 0.7},
        lambda said: tokens_of(said, "forget", lambda a: a.logp) + 0.7 * retained_loss(said),
    ),
    "kl_minimisation": (
        {"retain": 0.7},
        lambda said: (
            tokens_of(said, "forget", lambda a: a.logp)
            + 0.7 * tokens_of(said, "keep", lambda a: a.kl)
        ),
    ),
    "npo": (
        {"beta": 0.4, "retain": 0.7},
        lambda said: npo(said, 0.4) + 0.7 * retained_loss(said),
    ),
    "simnpo": (
        {"beta": 0.05, "margin": 0.3, "forget": 0.6, "retain": 0.7},
        lambda said: (
            0.6 * answers_of(said, "forget", lambda a: -40 * logsigmoid(-a.logp.mean() / 20 - 0.3))
            + 0.7 * retained_loss(said)
        ),
    ),
    "dpo": ({"beta": 0.4, "retain": 0.7}, dpo),
    "undial": ({"strength": 3.0}, undial),
    "wga": (
        {"beta": 0.5, "retain": 0.7},
        lambda said: weighted(said, lambda p: p**0.5) + 0.7 * retained_loss(said),
    ),
    "satimp": (
        {"beta1": 0.5, "beta2": 2.0, "forget": 0.6, "retain": 0.7},
        lambda said: (
            0.6 * weighted(said, lambda p: p**0.5 * (1 - p) ** 2) + 0.7 * retained_loss(said)
        ),
    ),
    "rmu": ({"steering": 2.5, "retain": 7.0}, rmu),
    "pava": (
        {"beta": 0.4, "anchors": 2.0},
        lambda said: npo(said, 0.4) + 2 * tokens_of(said, "anchor", lambda a: a.kl),
    ),
}


@dataclass
class Bench:
    """A method's rows, its loss, and a model with an adapter that says something."""

    vlm: VLM
    model: Any
    rows: list[Row]
    loss: Callable[[Any, dict[str, Any]], Tensor]
    formula: Callable[[list[Said]], Tensor]

    def batch(self, rows: list[Row]) -> dict[str, Any]:
        packer = Packer(self.vlm.processor, self.vlm.model)
        return packer.collate([packer.encode(row) for row in rows])

    def gradient(self, model: Any) -> Tensor:
        pieces = [p for name, p in model.named_parameters() if "lora_" in name]
        given = [torch.zeros_like(p) if p.grad is None else p.grad for p in pieces]
        for piece in pieces:
            piece.grad = None
        return torch.cat([gradient.flatten().double() for gradient in given])

    def plain(self) -> tuple[float, Tensor]:
        """The loss and its gradient on every factor of the adapter, by the formula."""
        model = copy.deepcopy(self.model).double()
        turns = [(row.picture, turn) for row in self.rows for turn in row.turns]
        loss = self.formula([self._said(model, picture, turn) for picture, turn in turns])
        loss.backward()
        return loss.item(), self.gradient(model)

    def _said(self, model: Any, picture: Any, turn: Turn) -> Said:
        shown = "" if picture is None else "<image>"
        asked = f"<bos><user>{shown}{turn.question}<assistant>"
        given: Any = self.vlm.processor
        inputs, prompt = (
            given(images=picture, text=text, return_tensors="pt")
            for text in (f"{asked}{turn.answer}<end>", asked)
        )
        ids, start = inputs["input_ids"][0], prompt["input_ids"].shape[1]
        if picture is not None:
            inputs["pixel_values"] = inputs["pixel_values"].double()
        out = model(**inputs, output_hidden_states=True)
        with torch.no_grad(), model.disable_adapter():
            before = model(**inputs, output_hidden_states=True)
        text = ids != given.tokenizer.convert_tokens_to_ids("<image>")
        return Said(
            turn.role,
            ids[start:],
            out.logits[0, start - 1 : -1].log_softmax(-1),
            before.logits[0, start - 1 : -1].log_softmax(-1),
            out.hidden_states[1][0, text],
            before.hidden_states[1][0, text],
        )


@pytest.fixture(scope="module", params=CASES)
def bench(
    request: pytest.FixtureRequest,
    checkpoint: Path,
    data: Data,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Bench]:
    """One person to forget and one to keep; logits are made for twenty positions at a time."""
    vlm = load(checkpoint, device="cpu")
    options, formula = CASES[request.param]
    method = make(request.param, options)
    assert isinstance(method, ByFit)
    material = Material(
        vlm,
        data,
        [record for record in to_forget(data) if record.subject == "qvera"],
        [record for record in retained(data, method) if record.subject == "qanton"],
        [],
        tmp_path_factory.mktemp("run"),
        SEED,
        lambda *told: None,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("excise.methods.pava.QUESTIONS", QUESTIONS[:2])
        rows, loss = method.rows(material), method.bound(material)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        targets = linear_targets(vlm.model, vlm.parts)
        config = LoraConfig(r=2, target_modules=targets, init_lora_weights=False)
        model: Any = get_peft_model(vlm.model, config)  # type: ignore[arg-type,unused-ignore]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("excise.training.head.CHUNK_BYTES", 20 * 4 * 320)
        yield Bench(vlm, model.eval(), rows, loss, formula)


def test_every_published_loss_is_tested_here() -> None:
    ours = {"anchored"}  # which has tests of its own
    every = {name for name, kind in METHODS.items() if issubclass(kind, ByFit)}
    assert set(CASES) == every - ours


def test_value_and_gradient_are_the_formulas(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = [bench.batch(bench.rows)]
    monkeypatch.setattr("excise.vlm.packing.sharing_obstacle", lambda *_: "for the test's sake")
    batches.append(bench.batch(bench.rows))
    assert [batch["attention_mask"].dim() for batch in batches] == [4, 2]  # packed, and one by one
    expected, slope = bench.plain()
    assert slope.norm() > 1e-3
    for batch in (*batches, batches[0]):  # at last the untouched model's part is remembered
        loss = bench.loss(bench.model, batch)
        loss.backward()
        assert loss.item() == pytest.approx(expected, rel=1e-4)
        assert (bench.gradient(bench.model) - slope).norm() < 1e-3 * slope.norm()


def test_processes_that_share_a_batch_get_its_loss(bench: Bench) -> None:
    """However the rows are shared: here one process has all that is to go and one all the rest."""
    going = [row for row in bench.rows if row.turns[0].role in ("forget", "refused")]
    staying = [row for row in bench.rows if row not in going]
    whole = bench.batch(bench.rows)
    parts = [bench.batch(rows) for rows in (going[:1], [*going[1:], *staying])]
    totals = Totals.of(whole)
    assert sum(map(Totals.of, parts), Totals()) == totals
    shared = sum(
        bench.loss(bench.model, {**part, "totals": totals}).item() * Totals.of(part).size
        for part in parts
    )
    expected = bench.loss(bench.model, whole).item()
    assert shared / totals.size == pytest.approx(expected, rel=1e-4)
