"""The question as it is: what anybody gets who just asks."""

from __future__ import annotations

from excise.evaluate.attacks.asking import Ask, asked
from excise.evaluate.attacks.registry import Options, attack
from excise.evaluate.attacks.target import Outcome, Target


class Plain(Options):
    """It has no options."""


@attack("plain", reference="the record's own question, greedily")
def plain(target: Target, options: Plain) -> Outcome:
    """Ask each record's own question about its own picture."""
    return asked(target, [Ask(r.id, r.question, r.image) for r in target.records])
