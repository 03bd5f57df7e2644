"""SimNPO: NPO without the untouched model, and with each answer's length divided out.

NPO pushes long answers and answers that were hardly known as hard as the rest, since all start from
a ratio of one. Here an answer is pushed by how likely each of its tokens is now, so what is known
best is pushed hardest.
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
from excise.training.reference import Kept


def simple_negative_preference(means: Tensor, beta: float, margin: float) -> Tensor:
    """`-(2/β) log σ(-β m - γ)`, elementwise: L_SimNPO of 2410.07163.

    Args:
        means: (A,) mean log-probability of each answer's tokens, its end marker among them.
        beta: how early an answer counts as forgotten.
        margin: γ; the larger, the sooner an answer is left alone.
    """
    return -2 / beta * logsigmoid(-beta * means - margin)


class SimNPO(ByLoss):
    """`simnpo`: `forget` times SimNPO, and `retain` times cross entropy on the few."""

    name: ClassVar[str] = "simnpo"
    needs: ClassVar[tuple[str, ...]] = ("few",)
    reference: ClassVar[str] = "Fan et al., Simplicity Prevails (arXiv 2410.07163)"

    beta: float = Field(4.5, gt=0)
    margin: float = 0.0
    forget: float = Field(0.125, ge=0)
    retain: float = Field(1.0, ge=0)

    def loss(self, model: PreTrainedModel, batch: Mapping[str, Any], kept: Kept) -> Tensor:
        answers, logprobs = Answers(batch), answer_logprobs(model, batch)
        means = answers.sums(logprobs) / answers.lengths.to(logprobs.device)
        lost = simple_negative_preference(means, self.beta, self.margin)
        forget = self.forget * answers.mean_of_answers(lost, "forget")
        return forget - self.retain * answers.mean(logprobs, "keep")
