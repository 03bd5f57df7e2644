"""Ask many times at a temperature: what is not the likeliest answer may still be a likely one.

Chance finds facts with few possible values that way, so the controls matter most here.
"""

from __future__ import annotations

from pydantic import Field

from excise.evaluate.attacks.asking import Ask, asked
from excise.evaluate.attacks.registry import Options, attack
from excise.evaluate.attacks.target import Outcome, Target


class Sampling(Options):
    """`samples` answers a record at `temperature`."""

    samples: int = Field(20, ge=1)
    temperature: float = Field(1.0, gt=0)


@attack(
    "sampling",
    reference="probabilistic evaluation, Scholten et al. (arXiv 2410.03523)",
    presets={"quick": {"samples": 5}, "thorough": {"samples": 100}},
)
def sampled_answers(target: Target, options: Sampling) -> Outcome:
    """Draw several answers to each question."""
    return asked(
        target,
        [
            Ask(
                record.id,
                record.question,
                record.image,
                samples=options.samples,
                temperature=options.temperature,
            )
            for record in target.records
        ],
    )
