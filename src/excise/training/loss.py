"""Losses on the answers of a packed batch.

The head runs on labelled positions only, and the cross entropy sees the logits of a chunk of them
at a time (see `head.py`). Pictures' features come from the model's `FeatureCache` if the batch says
which pictures it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from excise.training.head import Chunks, chunk_of, run_to_head
from excise.vlm.features import feature_cache
from excise.vlm.packing import IGNORED

NOT_FOR_THE_MODEL = ("labels", "roles", "pictures", "totals")
"""`pictures` is a list with the `EncodedPicture` or None of each sequence; for `totals` see
`answers.py`."""


class Labelled(NamedTuple):
    """The answer tokens of a batch, in the order of rows and positions."""

    logits: Tensor
    """(N, vocabulary), float32: the prediction of each answer token."""
    targets: Tensor
    """(N,): the answer tokens, end markers among them."""
    roles: Tensor
    """(N,): `excise.vlm.role_id` of each token's turn."""


def labelled_logits(model: PreTrainedModel, batch: Mapping[str, Any]) -> Labelled:
    """One forward pass; logits where there are labels, all of them at once.

    Args:
        model: the model, with an adapter or without.
        batch: what `excise.vlm.Packer.collate` makes, on the model's device.
    """
    logits = run_answers(model, batch, batch["labels"].numel()).first.float()
    answered = batch["labels"] != IGNORED
    return Labelled(logits, batch["labels"][answered], batch["roles"][answered])


def answer_logprobs(
    model: PreTrainedModel, batch: Mapping[str, Any], *, chunk: int | None = None
) -> Tensor:
    """Log-probability of each answer token, (N,), float32, in the order of rows and positions.

    Args:
        chunk: at how many positions the logits are in memory at once; None for about 64 MiB.
    """
    labels = batch["labels"]
    targets = labels[labels != IGNORED]
    return run_answers(model, batch, chunk).map(_logprobs, targets)


def answer_cross_entropy(
    model: PreTrainedModel, batch: Mapping[str, Any], *, chunk: int | None = None
) -> Tensor:
    """Mean cross entropy over the answer tokens of the batch, each of equal weight (a scalar)."""
    return -answer_logprobs(model, batch, chunk=chunk).mean()


def _logprobs(logits: Tensor, targets: Tensor) -> Tensor:
    wanted = targets.to(logits.device)
    return -nn.functional.cross_entropy(logits.float(), wanted, reduction="none")


def run_answers(
    model: PreTrainedModel, batch: Mapping[str, Any], chunk: int | None = None
) -> Chunks:
    """One forward pass; states and head of the answer tokens, for `Chunks.map`."""
    labels = batch["labels"]
    keep = torch.zeros_like(labels, dtype=torch.bool)
    keep[:, :-1] = labels[:, 1:] != IGNORED
    inputs = {name: value for name, value in batch.items() if name not in NOT_FOR_THE_MODEL}
    with feature_cache(model).serving(batch.get("pictures", ())):
        return run_to_head(model, inputs, keep, chunk or chunk_of(model))
