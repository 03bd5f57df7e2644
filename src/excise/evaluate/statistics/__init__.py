"""Statistics of forgetting: what can be told from the likelihood of answers, without an attack.

`Statistics.of(vlm, data, seed=0)` runs the model once; `figures(model, reference)` says what came
of it. `docs/metrics.md` has every definition.
"""

from __future__ import annotations

from excise.evaluate.statistics.figures import figures
from excise.evaluate.statistics.side import Statistics

__all__ = ["Statistics", "figures"]
