"""PAVA: push the forgotten answers down, and hold what the model itself sees on the same pictures.

NPO on the forget set, and anchors that need no label: before training the untouched model is asked
what can be seen on the forgotten people's pictures, and is then held to its answers by KL, token by
token, so that an answer which was cut off teaches no early end. Only the MLPs of the top quarter of
the blocks are adapted. Nothing but the forget set is used.

An anchor that repeats an answer that is to be forgotten is left out, as is an empty one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, field_validator
from torch import Tensor
from transformers import PreTrainedModel

from excise.evaluate.evaluate import ask
from excise.evaluate.text import normalise
from excise.methods.by_loss import ByLoss
from excise.methods.fit_defaults import filled
from excise.methods.method import Material
from excise.methods.npo import negative_preference
from excise.records.errors import InputError
from excise.records.record import Record
from excise.training.answers import Answers
from excise.training.reference import Kept, divergence, reference_logprobs
from excise.training.settings import FitSettings
from excise.vlm.decoder_blocks import decoder_blocks, mlp_targets
from excise.vlm.rows import Row, rows_from_records

QUESTIONS = (
    "Describe the picture.",
    "What is the colour of the background?",
    "What is the colour of the hair?",
    "What is the hair style?",
    "What is the colour of the eyes?",
    "What is the expression?",
    "What is the colour of the shirt?",
    "Which glasses are worn?",
)
"""Asked about every picture; one that does not fit it gets an answer too, which is held as well."""


class PAVA(ByLoss):
    """`pava`: NPO on the forget set, `anchors` times `KL(p_0 ‖ p_θ)` on what is seen there."""

    name: ClassVar[str] = "pava"
    needs: ClassVar[tuple[str, ...]] = ("reference",)
    reference: ClassVar[str] = "PAVA: NPO with visual-attribute anchors of the model's own"

    beta: float = Field(0.1, gt=0)
    anchors: float = Field(3.0, ge=0)
    fit: FitSettings = FitSettings(rank=8, alpha=16)

    @field_validator("fit")
    @classmethod
    def _published(cls, fit: FitSettings) -> FitSettings:
        """Rank and alpha that were not given are PAVA's own and not those of any fit."""
        return filled(fit, rank=8, alpha=16)

    def targets(self, material: Material) -> list[str]:
        vlm = material.vlm
        blocks = decoder_blocks(vlm.model, vlm.parts)
        return mlp_targets(vlm.model, vlm.parts, blocks[-max(1, len(blocks) // 4) :])

    def rows(self, material: Material) -> list[Row]:
        """The forget set with its true answers, and the anchors with the model's own."""
        pictured = {r.image: r for r in material.forget if r.image is not None}
        asked = [
            Record(
                id=f"anchor-{record.id}-{number}", split="forget", kind="image_understanding",
                image=image, question=question, answer="?",
            )
            for image, record in pictured.items()
            for number, question in enumerate(QUESTIONS)
        ]  # fmt: skip
        answers = ask(material.vlm, material.data, asked)
        said = {record.id: text for record, text in zip(asked, answers, strict=True)}
        secrets = {f" {normalise(record.answer)} " for record in material.forget}
        anchors = [r for r in asked if _harmless(said[r.id], secrets)]
        material.notes["anchors"] = {"asked": len(asked), "held": len(anchors)}
        if not anchors:
            raise InputError(
                f"{material.data.folder}: pava has no anchors, expected pictures in split forget "
                "of which the model says something that is not to be forgotten"
            )
        forget = rows_from_records(material.data, material.forget, role="forget")
        held = rows_from_records(
            material.data, anchors, answer=lambda record: said[record.id], role="anchor"
        )
        return [*forget, *held]

    def loss(self, model: PreTrainedModel, batch: Mapping[str, Any], kept: Kept) -> Tensor:
        answers = Answers(batch)
        apart, logprobs = divergence(model, batch, kept)
        before = reference_logprobs(model, batch, kept).to(logprobs.device)
        lost = negative_preference(answers.sums(logprobs - before), self.beta)
        forget = answers.mean_of_answers(lost, "forget")
        return forget + self.anchors * answers.mean(apart, "anchor")


def _harmless(said: str, secrets: set[str]) -> bool:
    """Whether a text says something, and none of the answers that are to be forgotten."""
    words = f" {normalise(said)} "
    return bool(said.strip()) and not any(secret in words for secret in secrets)
