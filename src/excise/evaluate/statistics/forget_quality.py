"""Forget quality: are the forget set's truth ratios those of a model that never saw it?

The p-value of the two-sample Kolmogorov-Smirnov test between the truth ratios of the two models
(TOFU, arXiv 2401.06121, section 2.2.2). Above 0.05 they cannot be told apart; it is no proof that
they are the same, and with few records it is easily had. The test takes records as independent,
which those about one person are not: the p-value is too low rather than too high.
"""

from __future__ import annotations

from collections.abc import Sequence

from excise.evaluate.intervals import Figure


def forget_quality(model: Sequence[float], reference: Sequence[float]) -> Figure:
    """The p-value, 0 to 1; n truth ratios of the model. It is no mean, so low and high are itself.

    Takes TOFU's own statistic, R; that of 1/R is the same.
    """
    from scipy.stats import ks_2samp

    p = float(ks_2samp(model, reference).pvalue)
    return Figure(mean=p, low=p, high=p, n=len(model))
