"""UNDIAL: the untouched model as its own teacher, told to think less of the forgotten token.

The aim at each forgotten token is what the untouched model says there with the token's logit
lowered: a distribution, not a direction, so training comes to rest, and whatever else the model had
in mind at that place stays in proportion. No retained data is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from transformers import PreTrainedModel

from excise.methods.by_loss import ByLoss
from excise.training.answers import Answers
from excise.training.loss import run_answers
from excise.training.reference import Kept
from excise.vlm.packing import IGNORED


def lowered(logits: Tensor, tokens: Tensor, strength: float) -> Tensor:
    """`softmax(z - γ 1[y])`: the aim at n places, from logits (n, vocabulary) and tokens (n,)."""
    less = torch.full_like(logits[:, :1], -strength)
    return logits.scatter_add(1, tokens[:, None], less).softmax(-1)


def distillation(
    model: PreTrainedModel, batch: Mapping[str, Any], kept: Kept, strength: float
) -> Tensor:
    """Cross entropy with `lowered` of the untouched model's logits at each answer token, (N,).

    Exact, over the whole vocabulary, a chunk of positions at a time; the untouched model's logits
    come from its last hidden states and the head, which no adapter touches.
    """
    states = kept.states(model, batch)
    labels = batch["labels"]
    tokens = labels[labels != IGNORED].to(states.device)
    chunks = run_answers(model, batch)

    def cross_entropy(logits: Tensor, picked: Tensor) -> Tensor:
        with torch.no_grad():
            then = chunks.head(states[picked].to(logits.device)).float()
            aim = lowered(then, tokens[picked].to(logits.device), strength)
        return -(aim * logits.float().log_softmax(-1)).sum(-1)

    return chunks.map(cross_entropy, torch.arange(len(tokens), device=states.device))


class UNDIAL(ByLoss):
    """`undial`: cross entropy with `softmax(z_0 - strength 1[y_t])` on forgotten tokens."""

    name: ClassVar[str] = "undial"
    needs: ClassVar[tuple[str, ...]] = ("reference",)
    reference: ClassVar[str] = "Dong et al., UNDIAL (arXiv 2402.10052)"

    strength: float = Field(10.0, ge=0)

    def loss(self, model: PreTrainedModel, batch: Mapping[str, Any], kept: Kept) -> Tensor:
        return Answers(batch).mean(distillation(model, batch, kept, self.strength), "forget")
