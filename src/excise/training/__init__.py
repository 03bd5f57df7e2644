"""The one trainer: rows and a loss in, a LoRA adapter out."""

from excise.training.fit import FitResult, FitSettings, clear_checkpoints, fit
from excise.training.loss import (
    Labelled,
    answer_cross_entropy,
    answer_logprobs,
    labelled_logits,
)
from excise.training.reference import Kept, reference_logprobs, untouched

__all__ = [
    "FitResult",
    "FitSettings",
    "Kept",
    "Labelled",
    "answer_cross_entropy",
    "answer_logprobs",
    "clear_checkpoints",
    "fit",
    "labelled_logits",
    "reference_logprobs",
    "untouched",
]
