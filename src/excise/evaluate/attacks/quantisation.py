"""Ask a quantised model: what was only moved a little may round back to where it was.

Models are mostly served in 8 or 4 bits, so this needs no attacker, only a deployment. The rounding
is that of torchao and bitsandbytes, simulated on any machine (`weights/quantise.py`).

Cost: the plain questions once a scheme, and the originals of the rounded weights on the CPU.
"""

from __future__ import annotations

from collections import Counter

from pydantic import Field

from excise.evaluate.attacks.asking import Ask, asked
from excise.evaluate.attacks.registry import Options, attack
from excise.evaluate.attacks.target import Outcome, Target
from excise.weights.quantise import GROUP, SCHEMES, Scheme


class Quantisation(Options):
    """`schemes` are tried in turn; in 4 bits `group` weights share a scale."""

    schemes: tuple[Scheme, ...] = Field(SCHEMES, min_length=1)
    group: int = Field(GROUP, ge=1)


@attack("quantisation", reference="Zhang et al. (arXiv 2410.16454)")
def quantised_weights(target: Target, options: Quantisation) -> Outcome:
    """Ask each question with the language model's weights rounded to 8 and to 4 bits.

    Of a model that is quantised already no record is tried.
    """
    from excise.weights.quantised import quantised, quantising_obstacle

    obstacle = quantising_obstacle(target.vlm)
    if obstacle is not None:
        return Outcome(asks=0, found={}, options={"obstacle": obstacle})
    plain = [Ask(record.id, record.question, record.image) for record in target.records]
    asks, found, notes = 0, Counter[str](), {}
    for scheme in options.schemes:
        with quantised(target.vlm, scheme, options.group) as changed:
            outcome = asked(target, plain)
        asks += outcome.asks
        found.update(outcome.found)  # adds the counts, and keeps those that are 0
        notes[f"weights_changed_{scheme}"] = changed
    return Outcome(asks=asks, found=dict(found), notes=notes)
