"""Gradient difference: away from the forgotten answers, towards the retained ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor
from transformers import PreTrainedModel

from excise.methods.by_loss import ByLoss
from excise.training.answers import Answers
from excise.training.loss import answer_logprobs
from excise.training.reference import Kept


class GradientDifference(ByLoss):
    """`gradient_difference`: `-L_f + retain * L_r`, cross entropies of the two sides."""

    name: ClassVar[str] = "gradient_difference"
    needs: ClassVar[tuple[str, ...]] = ("few",)
    reference: ClassVar[str] = "Liu et al., Continual Learning and Private Unlearning (2203.12817)"

    retain: float = Field(1.0, ge=0)

    def loss(self, model: PreTrainedModel, batch: Mapping[str, Any], kept: Kept) -> Tensor:
        answers, logprobs = Answers(batch), answer_logprobs(model, batch)
        return answers.mean(logprobs, "forget") - self.retain * answers.mean(logprobs, "keep")
