"""NPO: the forgotten answers as the rejected half of a preference, with nothing preferred to them.

Near the untouched model this is gradient ascent; an answer that has become unlikely enough is left
alone, so the loss has a floor and the model breaks much later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor
from torch.nn.functional import logsigmoid
from transformers import PreTrainedModel

from excise.methods.by_loss import ByLoss
from excise.training.answers import Answers
from excise.training.loss import answer_logprobs
from excise.training.reference import Kept, reference_logprobs


def negative_preference(ratios: Tensor, beta: float) -> Tensor:
    """`-(2/β) log σ(-β r)`, elementwise: L_NPO of 2404.05868.

    Args:
        ratios: (A,) `log p_θ(y|x) - log p_0(y|x)`, summed over each answer's tokens.
        beta: how early an answer counts as forgotten; at 0 it would be gradient ascent.
    """
    return -2 / beta * logsigmoid(-beta * ratios)


class NPO(ByLoss):
    """`npo`: negative preference on forgotten answers, `retain` times cross entropy on the few."""

    name: ClassVar[str] = "npo"
    needs: ClassVar[tuple[str, ...]] = ("few", "reference")
    reference: ClassVar[str] = "Zhang et al., Negative Preference Optimization (arXiv 2404.05868)"

    beta: float = Field(0.1, gt=0)
    retain: float = Field(1.0, ge=0)

    def loss(self, model: PreTrainedModel, batch: Mapping[str, Any], kept: Kept) -> Tensor:
        answers, logprobs = Answers(batch), answer_logprobs(model, batch)
        before = reference_logprobs(model, batch, kept).to(logprobs.device)
        lost = negative_preference(answers.sums(logprobs - before), self.beta)
        forget = answers.mean_of_answers(lost, "forget")
        return forget - self.retain * answers.mean(logprobs, "keep")
