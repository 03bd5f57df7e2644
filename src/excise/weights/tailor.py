"""Model Tailor's patch: the few entries of a change that count, decorated for those left out.

Reverting an entry of a fine-tuned weight to the base's costs, to second order, `c² / (2 [H⁻¹]_qq)`
for a change c (Optimal Brain Surgeon); H is the Hessian of the squared error of the layer's
outputs, `2 X Xᵀ`, one for all rows. The other entries can make up for it: the best that those not
yet decided can do is `-c / [H⁻¹]_qq * H⁻¹_q`. As in SparseGPT columns are gone through from the
first to the last, and H⁻¹ of those left is read off one Cholesky factor.

Source: arXiv 2402.12048 (ICML 2024), its released code for blocks, damping and the mixing of the
two scores; SparseGPT (arXiv 2301.00774) for the solver. In that code the second score is of the
whole weight and the compensation is added with the other sign; both are here as the derivation has
them.

Cost: three matrices of the weight's shape and two of (in, in); `in³` multiplications.
"""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 128
"""Columns that are ranked together."""
DAMP = 0.01
"""Of the mean diagonal of H, added to it."""


def tailored(change: Tensor, hessian: Tensor, *, keep: float = 0.1, mix: float = 0.5) -> Tensor:
    """The change with all but a share of its entries at zero, the others compensated.

    Args:
        change: (out, in), of a float type that is computed in.
        hessian: (in, in), symmetric and not negative.
        keep: the share of entries that is kept, block by block.
        mix: the weight of an entry's own size in its score, against what reverting it costs.

    Returns:
        A new tensor; every entry that was not kept is zero exactly.
    """
    root = inverse_root(hessian.to(change.dtype))
    left, out = change.clone(), torch.zeros_like(change)
    for first in range(0, change.shape[1], BLOCK):
        block = slice(first, min(first + BLOCK, change.shape[1]))
        cost = (left[:, block] / root.diagonal()[block]).square()
        scores = mix * _standard(change[:, block].abs()) + (1 - mix) * _standard(cost)
        kept = _largest(scores, keep)
        errors = torch.zeros_like(scores)
        for column in range(block.start, block.stop):
            here = column - first
            now = left[:, column]
            out[:, column] = torch.where(kept[:, here], now, 0.0)
            error = torch.where(kept[:, here], 0.0, now / root[column, column])
            errors[:, here] = error
            rest = slice(column, block.stop)
            left[:, rest] -= error[:, None] * root[column, rest]
        left[:, block.stop :] -= errors @ root[block, block.stop :]
    return out


def inverse_root(hessian: Tensor) -> Tensor:
    """The upper triangle U with `H⁻¹ = Uᵀ U`, H damped; inputs that are always zero count as one.

    `U_qq²` is `[H⁻¹]_qq` of H without the rows and columns before q, and `U_q U_qq` its row.
    """
    damped = hessian.clone()
    diagonal = damped.diagonal()
    diagonal[diagonal == 0] = 1
    diagonal += DAMP * diagonal.mean()
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    root: Tensor = torch.linalg.cholesky(inverse, upper=True)
    return root


def _standard(scores: Tensor) -> Tensor:
    """Each row with mean 0 and standard deviation 1; zeros where all are equal."""
    apart = scores - scores.mean(1, keepdim=True)
    spread = scores.std(1, keepdim=True).nan_to_num(0.0)  # NaN: a row of one
    return apart / spread.clamp(min=torch.finfo(spread.dtype).tiny)


def _largest(scores: Tensor, keep: float) -> Tensor:
    """True at the largest share of the scores, of one at least."""
    flat = scores.flatten()
    found = torch.zeros_like(flat, dtype=torch.bool)
    found[flat.topk(max(1, int(keep * flat.numel()))).indices] = True
    return found.view_as(scores)
