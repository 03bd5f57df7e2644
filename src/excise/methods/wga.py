"""WGA: gradient ascent that lets go of a token as it becomes unlikely.

The gradient of `log p` has a factor `1/p`, which makes plain ascent push hardest at what is gone
already. A weight `p^β` takes it back.
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


def confidence(logprobs: Tensor, beta: float) -> Tensor:
    """Weights `p^β` of answer tokens, (N,), without gradient: 2502.19301, WGA."""
    return (beta * logprobs.detach()).exp()


class WGA(ByLoss):
    """`wga`: `E p(y_t)^β log p(y_t)` on forgotten tokens, `retain` times cross entropy."""

    name: ClassVar[str] = "wga"
    needs: ClassVar[tuple[str, ...]] = ("few",)
    reference: ClassVar[str] = "Wang et al., Rethinking LLM Unlearning Objectives (2502.19301)"

    beta: float = Field(1.0, ge=0)
    retain: float = Field(1.0, ge=0)

    def loss(self, model: PreTrainedModel, batch: Mapping[str, Any], kept: Kept) -> Tensor:
        answers, logprobs = Answers(batch), answer_logprobs(model, batch)
        forget = answers.mean(confidence(logprobs, self.beta) * logprobs, "forget")
        return forget - self.retain * answers.mean(logprobs, "keep")
