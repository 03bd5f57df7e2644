"""Gradient ascent: away from the forgotten answers, and nothing that holds the rest.

The loss has no floor: trained long enough it breaks the model, which is what it is known for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor
from transformers import PreTrainedModel

from excise.methods.by_loss import ByLoss
from excise.training.answers import Answers
from excise.training.loss import answer_logprobs
from excise.training.reference import Kept


class GradientAscent(ByLoss):
    """`gradient_ascent`: `-L_f`, the cross entropy of the forgotten answers, turned round."""

    name: ClassVar[str] = "gradient_ascent"
    needs: ClassVar[tuple[str, ...]] = ()
    reference: ClassVar[str] = "Jang et al., Knowledge Unlearning (arXiv 2210.01504)"

    def loss(self, model: PreTrainedModel, batch: Mapping[str, Any], kept: Kept) -> Tensor:
        return Answers(batch).mean(answer_logprobs(model, batch), "forget")
