"""KL minimisation: away from the forgotten answers, while the retained ones are said as before.

Where gradient difference teaches the retained answers, this holds the whole distribution at each of
their tokens to the untouched model's, and so does not train the retained records any further.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor
from transformers import PreTrainedModel

from excise.methods.by_loss import ByLoss
from excise.training.answers import Answers
from excise.training.reference import Kept, divergence


class KLMinimisation(ByLoss):
    """`kl_minimisation`: `-L_f + retain * KL(p_0 ‖ p_θ)`, the second on retained answer tokens."""

    name: ClassVar[str] = "kl_minimisation"
    needs: ClassVar[tuple[str, ...]] = ("few", "reference")
    reference: ClassVar[str] = "Maini et al., TOFU (arXiv 2401.06121)"

    retain: float = Field(1.0, ge=0)

    def loss(self, model: PreTrainedModel, batch: Mapping[str, Any], kept: Kept) -> Tensor:
        answers = Answers(batch)
        apart, logprobs = divergence(model, batch, kept)
        return answers.mean(logprobs, "forget") + self.retain * answers.mean(apart, "keep")
