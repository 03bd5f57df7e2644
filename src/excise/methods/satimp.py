"""SatImp: gradient ascent on tokens that are neither forgotten yet nor said of themselves.

Two weights on each token, multiplied: saturation `p^β1` lets go of what is forgotten, importance
`(1 - p)^β2` passes over what follows from the words before it and would be said by any model.
"""

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


def saturation_and_importance(logprobs: Tensor, beta1: float, beta2: float) -> Tensor:
    """Weights `p^β1 (1 - p)^β2` of answer tokens, (N,), without gradient: 2505.11953, SatImp."""
    known = logprobs.detach()
    return (beta1 * known).exp() * (-known.expm1()).pow(beta2)


class SatImp(ByLoss):
    """`satimp`: `forget` times weighted ascent, and `retain` times cross entropy on the few."""

    name: ClassVar[str] = "satimp"
    needs: ClassVar[tuple[str, ...]] = ("few",)
    reference: ClassVar[str] = "Yang et al., Criteria of Loss Reweighting (arXiv 2505.11953)"

    beta1: float = Field(5.0, ge=0)
    beta2: float = Field(1.0, ge=0)
    forget: float = Field(0.1, ge=0)
    retain: float = Field(1.0, ge=0)

    def loss(self, model: PreTrainedModel, batch: Mapping[str, Any], kept: Kept) -> Tensor:
        answers, logprobs = Answers(batch), answer_logprobs(model, batch)
        weights = saturation_and_importance(logprobs, self.beta1, self.beta2)
        forget = self.forget * answers.mean(weights * logprobs, "forget")
        return forget - self.retain * answers.mean(logprobs, "keep")
