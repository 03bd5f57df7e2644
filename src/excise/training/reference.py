"""What the untouched model says, from the very model that is being trained, its adapter off.

A second copy of the base would double the memory and say the same: the base is frozen. Methods that
hold a model to its old answers (KL anchors, NPO) ask for the same rows again and again, so `Kept`
keeps each row's log-probabilities, 4 bytes an answer token, or, where the whole distribution is
wanted, its last hidden states.
"""

from __future__ import annotations

import hashlib
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel

from excise.training.batches import batches
from excise.training.loss import answer_logprobs, run_answers
from excise.training.processes import world
from excise.training.selection import SelectedWeights
from excise.vlm.load import VLM
from excise.vlm.packing import IGNORED
from excise.vlm.rows import Row

LIMIT = 256 << 20


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Inside, the model is the base: adapter off, no dropout, no gradient.

    Afterwards every module's mode and every parameter's `requires_grad` are as before. A model
    without an adapter is taken for the base.
    """
    modes = [(module, module.training) for module in model.modules()]
    gradients = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    kinds = (PeftModel, SelectedWeights)
    adapter = next((m for m in model.modules() if isinstance(m, kinds)), None)
    try:
        with ExitStack() as inside:
            if adapter is not None:
                inside.enter_context(adapter.disable_adapter())
            model.eval()
            inside.enter_context(torch.no_grad())
            yield
    finally:
        for parameter, flag in gradients:
            parameter.requires_grad_(flag)
        for module, mode in modes:
            module.training = mode


class Kept:
    """What the untouched model makes of each row's answer tokens, each row computed once.

    For one model in one state. A row is known by its tokens, positions, labels and picture, not by
    the batch that it comes in.

    Args:
        limit_bytes: of what is kept; the rows asked for longest ago go first.
    """

    def __init__(self, limit_bytes: int = LIMIT) -> None:
        self._limit = limit_bytes
        self._rows: OrderedDict[str, Tensor] = OrderedDict()
        self._bytes = 0
        self.computed = 0
        """Rows that the model was run for."""

    @classmethod
    def of(cls, vlm: VLM, rows: Sequence[Row], *, size: int) -> Kept:
        """With the last hidden states of all rows as the model is now, and no limit.

        For a fit on top of an earlier run, in which the untouched model is not at hand. Costs a
        forward pass over all rows, and their answer tokens' states in memory.

        Args:
            size: rows a batch.
        """
        kept = cls(sys.maxsize)
        for batch in batches(vlm, rows, size):
            kept.states(vlm.model, batch)
        return kept

    def logprobs(self, model: PreTrainedModel, batch: Mapping[str, Any]) -> Tensor:
        """As `reference_logprobs`; the model runs only if a row of the batch is not known.

        Nothing is kept of a batch that does not say which pictures it has (`pictures`).
        """
        return self._known("logprobs", reference_logprobs, model, batch)

    def states(self, model: PreTrainedModel, batch: Mapping[str, Any]) -> Tensor:
        """As `reference_states`."""
        return self._known("states", reference_states, model, batch)

    def _known(
        self,
        what: str,
        compute: Callable[[PreTrainedModel, Mapping[str, Any]], Tensor],
        model: PreTrainedModel,
        batch: Mapping[str, Any],
    ) -> Tensor:
        if "pictures" not in batch:
            return compute(model, batch)
        keys = [f"{what}-{key}" for key in _row_keys(batch)]
        rows = [self._rows.get(key) for key in keys]
        known = [row for row in rows if row is not None]
        if world().run_model(len(known) < len(keys)):
            answers = (batch["labels"] != IGNORED).sum(1).tolist()
            known = [*torch.split(compute(model, batch).cpu(), answers)]
            self.computed += len(keys)
        for key, row in zip(keys, known, strict=True):
            if key not in self._rows:
                self._bytes += row.numel() * row.element_size()
                self._rows[key] = row.clone()
            self._rows.move_to_end(key)
        while self._bytes > self._limit:
            row = self._rows.popitem(last=False)[1]
            self._bytes -= row.numel() * row.element_size()
        return torch.cat(known).to(batch["labels"].device)


def reference_logprobs(
    model: PreTrainedModel, batch: Mapping[str, Any], kept: Kept | None = None
) -> Tensor:
    """Log-probability of each answer token under the untouched model: (N,), float32, no gradient.

    Args:
        model: with an adapter on or off, in any mode; it is left as it was.
        batch: what `excise.vlm.Packer.collate` makes, on the model's device.
        kept: where to look first, and to keep what was computed.
    """
    if kept is not None:
        return kept.logprobs(model, batch)
    with untouched(model):
        return answer_logprobs(model, batch)


def reference_states(model: PreTrainedModel, batch: Mapping[str, Any]) -> Tensor:
    """The untouched model's last hidden states that predict the answer tokens: (N, hidden).

    With the head, which no adapter touches, they say the whole distribution over the vocabulary at
    a hundredth of its size.
    """
    with untouched(model):
        return torch.cat(run_answers(model, batch).states)


def divergence(
    model: PreTrainedModel, batch: Mapping[str, Any], kept: Kept | None = None
) -> tuple[Tensor, Tensor]:
    """`KL(p_0 ‖ p_θ)` at each answer token, and the tokens' log-probabilities, (N,) float32 both.

    Exact, over the whole vocabulary, a chunk of positions at a time; p_0 is the untouched model.
    One forward pass with gradient, and one without for rows that `kept` does not have.
    """
    states = reference_states(model, batch) if kept is None else kept.states(model, batch)
    labels = batch["labels"]
    chunks = run_answers(model, batch)
    targets = labels[labels != IGNORED].to(states.device)

    def both(logits: Tensor, picked: Tensor) -> Tensor:
        now = logits.float().log_softmax(-1)
        with torch.no_grad():
            here = states[picked].to(logits.device)
            then = chunks.head(here).detach().float().log_softmax(-1)
        wanted = targets[picked].to(logits.device)[:, None]
        apart = (then.exp() * (then - now)).sum(-1)
        return torch.stack([apart, now.gather(1, wanted)[:, 0]], 1)

    found = chunks.map(both, torch.arange(len(targets), device=states.device))
    return found[:, 0], found[:, 1]


def _row_keys(batch: Mapping[str, Any]) -> list[str]:
    """A hash of each row without its padding, which follows the last label."""
    keys = []
    columns = [batch["input_ids"], batch["labels"]]
    positions = batch.get("position_ids")
    labelled = batch["labels"] != IGNORED
    for row in range(len(labelled)):
        end = int(labelled[row].nonzero().max()) + 1 if labelled[row].any() else None
        digest = hashlib.blake2b(digest_size=16)
        for column in columns:
            digest.update(column[row, :end].cpu().numpy().tobytes())
        if positions is not None:  # (B, T), or (dimensions, B, T)
            digest.update(positions[..., row, :end].cpu().contiguous().numpy().tobytes())
        if (picture := batch["pictures"][row]) is not None:
            digest.update(picture.key.encode())
        keys.append(digest.hexdigest())
    return keys
