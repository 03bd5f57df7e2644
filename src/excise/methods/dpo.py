"""DPO: a refusal preferred to the true answer, for every question that is to be forgotten.

Unlike refusal tuning it asks for a distance between the two, so it pushes the true answer down and
not only the refusal up; like it, it says nothing about questions that are to stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor
from torch.nn.functional import logsigmoid
from transformers import PreTrainedModel

from excise.methods.by_loss import ByLoss
from excise.methods.method import Material
from excise.methods.refusal_pool import Refuser
from excise.training.answers import Answers
from excise.training.loss import answer_logprobs
from excise.training.reference import Kept, reference_logprobs
from excise.vlm.packing import role_id
from excise.vlm.rows import Row, rows_from_records

PAIRS = 4
"""Pairs a row: eight turns, as in any other row."""


def preference(preferred: Tensor, rejected: Tensor, beta: float) -> Tensor:
    """`-(2/β) log σ(β (w - l))`, elementwise; the DPO loss (2305.18290) times `2/β`, as NPO's.

    Args:
        preferred: (P,) `w = log p_θ(y_w|x) - log p_0(y_w|x)`, summed over the answer's tokens.
        rejected: (P,) the same of the answers that are to lose.
    """
    return -2 / beta * logsigmoid(beta * (preferred - rejected))


class DPO(ByLoss):
    """`dpo`: refusals preferred to true answers, `retain` times cross entropy on the few."""

    name: ClassVar[str] = "dpo"
    needs: ClassVar[tuple[str, ...]] = ("few", "reference")
    reference: ClassVar[str] = "Rafailov et al., DPO (arXiv 2305.18290); TOFU (arXiv 2401.06121)"

    beta: float = Field(0.1, gt=0)
    retain: float = Field(1.0, ge=0)
    pool: int | None = Field(None, ge=1)
    """How many different refusals of the pool are used; all if not given."""

    def rows(self, material: Material) -> list[Row]:
        """Each forget question twice, refused and then answered; and the few retained."""
        refuse = Refuser(material.seed, self.pool)
        refusals = {record.id: refuse(record) for record in material.forget}

        def paired(row: Row) -> Row:
            refused = [
                replace(t, answer=refusals[t.record or ""], role="refused") for t in row.turns
            ]
            return replace(row, turns=tuple(chain(*zip(refused, row.turns, strict=True))))

        true = rows_from_records(material.data, material.forget, role="forget", per_row=PAIRS)
        return [*map(paired, true), *rows_from_records(material.data, material.few, role="keep")]

    def loss(self, model: PreTrainedModel, batch: Mapping[str, Any], kept: Kept) -> Tensor:
        answers, logprobs = Answers(batch), answer_logprobs(model, batch)
        before = reference_logprobs(model, batch, kept).to(logprobs.device)
        ratios = answers.sums(logprobs - before)
        refused, true = (
            (answers.answer_roles == role_id(role)).to(ratios.device)
            for role in ("refused", "forget")
        )
        lost = ratios.new_zeros(len(ratios)).masked_scatter(
            true, preference(ratios[refused], ratios[true], self.beta)
        )
        forget = answers.mean_of_answers(lost, "forget")
        return forget - self.retain * answers.mean(logprobs, "keep")
