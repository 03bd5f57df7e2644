"""Losses on the answers of a packed batch.

The head runs on labelled positions only: of a row with a picture most positions have no label, and
a vocabulary of 150,000 words would set the memory peak.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from excise.vlm.packing import IGNORED

NOT_FOR_THE_MODEL = ("labels", "roles")


class Labelled(NamedTuple):
    """The answer tokens of a batch, in the order of rows and positions."""

    logits: Tensor
    """(N, vocabulary), float32: the prediction of each answer token."""
    targets: Tensor
    """(N,): the answer tokens, end markers among them."""
    roles: Tensor
    """(N,): `excise.vlm.role_id` of each token's turn."""


def labelled_logits(model: PreTrainedModel, batch: Mapping[str, Tensor]) -> Labelled:
    """One forward pass; logits where there are labels.

    Args:
        model: the model, with an adapter or without.
        batch: what `excise.vlm.Packer.collate` makes, on the model's device.
    """
    labels, roles = batch["labels"], batch["roles"]
    keep = torch.zeros_like(labels, dtype=torch.bool)
    keep[:, :-1] = labels[:, 1:] != IGNORED
    inputs = {name: value for name, value in batch.items() if name not in NOT_FOR_THE_MODEL}
    logits = model(**inputs, use_cache=False, logits_to_keep=keep).logits
    answered = labels != IGNORED
    return Labelled(logits.float(), labels[answered], roles[answered])


def answer_cross_entropy(model: PreTrainedModel, batch: Mapping[str, Tensor]) -> Tensor:
    """Mean cross entropy over the answer tokens of the batch, each of equal weight (a scalar)."""
    labelled = labelled_logits(model, batch)
    return nn.functional.cross_entropy(labelled.logits, labelled.targets)
