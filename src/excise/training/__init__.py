"""The one trainer: rows and a loss in, a LoRA adapter out."""

from excise.training.fit import FitResult, FitSettings, clear_checkpoints, fit
from excise.training.loss import Labelled, answer_cross_entropy, labelled_logits

__all__ = [
    "FitResult",
    "FitSettings",
    "Labelled",
    "answer_cross_entropy",
    "clear_checkpoints",
    "fit",
    "labelled_logits",
]
