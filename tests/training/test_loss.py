"""Chunks change nothing but the memory, in any model that is made of a body and a head."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from transformers import PreTrainedModel

from excise.training import answer_cross_entropy, answer_logprobs, labelled_logits
from excise.vlm import VLM, Packer, Row, Turn
from excise.vlm.packing import IGNORED

TURNS = (
    Turn("Who is this?", "Vera Lindqvist, a nurse"),
    Turn("Where does this person live?", "In Riga, at the harbour.", role="forget"),
)
Batch = dict[str, Any]


@pytest.fixture
def batch(tiny: VLM, pictures: list[Image.Image]) -> Batch:
    packer = Packer(tiny.processor, tiny.model)
    rows = [Row(pictures[0], TURNS), Row(None, TURNS[:1]), Row(pictures[1], TURNS)]
    return dict(packer.collate([packer.encode(row) for row in rows]))


@contextmanager
def kept_for_backward() -> Iterator[list[int]]:
    """Numbers of elements of every tensor that autograd keeps."""
    sizes: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        yield sizes


def loss_and_gradients(
    model: PreTrainedModel, batch: Batch, chunk: int | None
) -> tuple[float, list[Tensor]]:
    model.zero_grad()
    loss = answer_cross_entropy(model, batch, chunk=chunk)
    loss.backward()
    return loss.item(), [p.grad.clone() for p in model.parameters() if p.grad is not None]


def assert_same(one: tuple[float, list[Tensor]], two: tuple[float, list[Tensor]]) -> None:
    assert one[0] == pytest.approx(two[0], rel=1e-6)
    assert len(one[1]) == len(two[1]) > 0
    whole = torch.stack([gradient.norm() for gradient in two[1]]).norm()
    for a, b in zip(one[1], two[1], strict=True):
        assert (a - b).norm() <= 1e-6 * max(b.norm(), whole)


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_any_chunk_gives_the_loss_and_gradient_of_all_logits_at_once(
    tiny: VLM, batch: Batch, chunk: int
) -> None:
    labelled = labelled_logits(tiny.model, batch)
    loss = nn.functional.cross_entropy(labelled.logits, labelled.targets)
    tiny.model.zero_grad()
    loss.backward()
    whole = [p.grad.clone() for p in tiny.model.parameters() if p.grad is not None]
    assert_same(loss_and_gradients(tiny.model, batch, chunk), (loss.item(), whole))


def test_logprobs_are_those_of_the_logits_in_their_order(tiny: VLM, batch: Batch) -> None:
    labelled = labelled_logits(tiny.model, batch)
    expected = labelled.logits.log_softmax(-1).gather(1, labelled.targets[:, None])[:, 0]
    for chunk in (1, 5, None):
        found = answer_logprobs(tiny.model, batch, chunk=chunk)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert labelled.targets.tolist() == batch["labels"][batch["labels"] != IGNORED].tolist()


@pytest.mark.parametrize("chunk", [3, None])
def test_what_the_model_does_behind_its_head_is_done_to_every_chunk(
    tiny: VLM, batch: Batch, chunk: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(tiny.model)
    forward = kind.forward

    def capped(self: Any, *args: Any, **kwargs: Any) -> Any:
        output = forward(self, *args, **kwargs)
        output.logits = 2 * torch.tanh(output.logits / 2)
        return output

    plain = answer_cross_entropy(tiny.model, batch).item()
    monkeypatch.setattr(kind, "forward", capped)
    labelled = labelled_logits(tiny.model, batch)
    assert labelled.logits.abs().max() <= 2
    expected = nn.functional.cross_entropy(labelled.logits, labelled.targets).item()
    assert answer_cross_entropy(tiny.model, batch, chunk=chunk).item() == pytest.approx(expected)
    assert expected != pytest.approx(plain, rel=1e-2)


def test_a_model_is_left_as_it_was_and_its_own_loss_agrees(tiny: VLM, batch: Batch) -> None:
    answer_cross_entropy(tiny.model, batch, chunk=2)
    body: Any = tiny.model
    assert "forward" not in body.model.__dict__
    inputs = {name: batch[name] for name in batch if name not in ("labels", "roles", "pictures")}
    logits = tiny.model(**inputs).logits[:, :-1]
    answered = batch["labels"][:, 1:] != IGNORED
    expected = nn.functional.cross_entropy(logits[answered], batch["labels"][:, 1:][answered])
    assert answer_cross_entropy(tiny.model, batch).item() == pytest.approx(expected.item())


def test_a_large_vocabulary_does_not_set_the_memory(tiny: VLM, pictures: list[Image.Image]) -> None:
    words, chunk = 150_000, 12
    tiny.model.resize_token_embeddings(words, mean_resizing=False)
    tiny.model.requires_grad_(False)
    tiny.model.get_submodule(tiny.parts.projector or "").requires_grad_(True)
    packer = Packer(tiny.processor, tiny.model)
    rows = [Row(picture, TURNS) for picture in pictures]
    batch: Batch = dict(packer.collate([packer.encode(row) for row in rows]))
    answers = int((batch["labels"] != IGNORED).sum())
    assert answers > 8 * chunk
    head = tiny.model.get_output_embeddings().weight.numel()

    def largest(sizes: list[int]) -> int:
        return max(size for size in sizes if size != head)

    with kept_for_backward() as whole:
        labelled = labelled_logits(tiny.model, batch)
        nn.functional.cross_entropy(labelled.logits, labelled.targets).backward()
    with kept_for_backward() as chunked:
        answer_cross_entropy(tiny.model, batch, chunk=chunk).backward()
    assert largest(whole) >= answers * words
    # In the backward pass one chunk after the other comes again, and is dropped.
    assert largest(chunked) <= chunk * words
    with kept_for_backward() as forward:
        answer_cross_entropy(tiny.model, batch, chunk=chunk)
    assert sum(size >= words for size in forward if size != head) <= 2  # the first chunk's


class Autocast(nn.Module):
    """Runs a model in bfloat16 inside its forward pass only, as accelerate makes the Trainer do."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return self.model(**inputs)


def test_every_chunk_has_the_precision_of_the_forward_pass(tiny: VLM, batch: Batch) -> None:
    wrapped: Any = Autocast(tiny.model)
    whole = answer_logprobs(wrapped, batch)
    assert torch.equal(answer_logprobs(wrapped, batch, chunk=3), whole)
    assert not torch.allclose(whole, answer_logprobs(tiny.model, batch), rtol=1e-5)
