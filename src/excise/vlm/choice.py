"""How the next token is taken: the likeliest one, or one that is drawn.

A draw depends on the prompt, the number of the sample and the step alone, never on what else is in
the batch: each prompt has a generator of its own, made from the seed and the prompt's content, and
a step needs one uniform number, at which the cumulated probabilities are looked up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Choice(Protocol):
    """Takes the next token of N prompts from their logits."""

    def __call__(self, logits: Tensor, numbers: Sequence[int], step: int) -> Tensor:
        """(N,) token ids.

        Args:
            logits: (N, vocabulary).
            numbers: which prompts these are.
            step: how many tokens each has so far.
        """


def likeliest(logits: Tensor, numbers: Sequence[int], step: int) -> Tensor:
    """The greedy choice."""
    return logits.argmax(-1)


@dataclass(frozen=True, eq=False)
class Drawn:
    """Draws at a temperature; `uniforms`, (prompts, steps), are between 0 and 1."""

    uniforms: Tensor
    temperature: float

    def __call__(self, logits: Tensor, numbers: Sequence[int], step: int) -> Tensor:
        scaled = logits.double() / self.temperature
        cumulated = scaled.softmax(-1).cumsum(-1)
        at = self.uniforms[list(numbers), step].to(cumulated)[:, None] * cumulated[:, -1:]
        # Right of equal values: a token of probability zero is never taken.
        return torch.searchsorted(cumulated, at, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)


def uniforms(seed: int, prompt: str, samples: int, steps: int) -> Tensor:
    """(samples, steps): the numbers of one prompt; more samples begin with the same ones."""
    return torch.stack([_row(f"{seed} {number} {prompt}", steps) for number in range(samples)])


def _row(key: str, steps: int) -> Tensor:
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
    return torch.rand(steps, generator=generator, dtype=torch.float64)
