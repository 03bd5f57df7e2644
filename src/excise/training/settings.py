"""Settings and result of one fit."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

WIDE = 1.28
"""Learning rate times hidden size: 5e-3 at a width of 256, 3e-4 at one of 4096."""


class FitSettings(BaseModel):
    """How an adapter is trained. The defaults are those of the SMFA authors' code.

    `batch` counts rows, `warmup` is the share of steps in which the learning rate rises, `steps`
    takes the place of `epochs`. `gradient_checkpointing` runs each layer once more in the backward
    pass and saves most of the memory for activations. `precision` is that of the forward pass;
    adapter weights are float32 always. "auto" computes in bfloat16 where the model is stored so,
    else in float32. `lr="auto"` is `WIDE` over the model's hidden size: a wide layer sums more
    terms, so the same change of its output takes a smaller step (arXiv 2203.03466).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(16, ge=1)
    alpha: float = Field(16, gt=0)
    dropout: float = Field(0.05, ge=0, lt=1)
    lr: Annotated[float, Field(gt=0)] | Literal["auto"] = 1e-4
    epochs: float = Field(5, gt=0)
    steps: int | None = Field(None, ge=1)
    batch: int = Field(2, ge=1)
    warmup: float = Field(0.0, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    max_grad_norm: float = Field(1.0, gt=0)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    gradient_checkpointing: bool = False

    def rate(self, width: int) -> float:
        """The learning rate for a model of that hidden size."""
        return WIDE / width if self.lr == "auto" else self.lr

    def total_steps(self, rows: int) -> int:
        """Optimiser steps for so many rows; a last batch that is not full counts as one."""
        if self.steps is not None:
            return self.steps
        return max(1, math.ceil(rows * self.epochs / self.batch))


class FitResult(BaseModel):
    """What came of a fit; the adapter itself is in the output folder."""

    model_config = ConfigDict(frozen=True)

    losses: list[float]
    """One a step, from the first step on even if the fit was resumed."""
    seconds: float
    """Wall time of the call that finished it."""
    steps: int
    trainable: int
    """Number of trained parameters."""
    targets: list[str]
    """Exact names of the adapted modules."""
