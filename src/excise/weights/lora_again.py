"""A sculpted change as a LoRA again: a truncated SVD from row tiles, without the dense matrix.

The mask makes the change full rank, so a LoRA of it is an approximation whose error has to be said.
Randomised subspace iteration (Halko, Martinsson and Tropp, 2011, algorithm 4.4) in the form that
needs one pass for each step: a row tile T gives both its part of `D Q` and its part of `Dᵀ D Q`.
The error is not taken from the spectrum but from the tiles: a last pass subtracts the stored
factors and adds up what is left.

Cost: `POWER` + 2 passes over the tiles; memory is a few matrices of (in, width) and (out, width).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

Tiles = Callable[[], Iterable[tuple[slice, Tensor]]]
"""Starts a pass: row slice and float32 rows (rows, in) of the change, valid until the next."""

POWER = 2
"""Steps of the subspace iteration; the spectrum of a masked change falls slowly."""
SPARE = 10
"""Directions that are followed beyond the wanted rank, at least."""


@dataclass(frozen=True, eq=False)
class Factored:
    """`b @ a` (out, r) and (r, in) in float32, and how far it is from the change."""

    b: Tensor
    a: Tensor
    norm: float
    """Frobenius norm of the change."""
    error: float
    """Frobenius norm of what the factors leave out."""

    @property
    def rank(self) -> int:
        return self.a.shape[0]

    @property
    def relative_error(self) -> float:
        return self.error / self.norm if self.norm else 0.0


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The leading singular triples of a change: u (out, n), s (n,), vt (n, in), and its norm."""

    u: Tensor
    s: Tensor
    vt: Tensor
    norm: float

    def rank_for(self, tolerance: float) -> int | None:
        """The smallest rank whose relative error is within the tolerance, if n are enough."""
        left = self.norm**2 - self.s.double().square().cumsum(0)
        # A little below, because the error of the stored factors is a little above this one.
        good = left <= (0.999 * tolerance * self.norm) ** 2
        return int(good.to(torch.int8).argmax()) + 1 if bool(good.any()) else None


def factor(
    tiles: Tiles,
    shape: tuple[int, int],
    *,
    rank: int | None = None,
    tolerance: float | None = None,
    most: int,
    seed: int,
) -> Factored | None:
    """The change in low rank, of the given rank or the smallest within a relative tolerance.

    Args:
        most: the largest rank that a tolerance may ask for.
        seed: of the random directions that the iteration starts with.

    Returns:
        None if no rank up to `most` is within the tolerance. A change of zero has rank 1.
    """
    full = min(shape)
    if rank is not None:
        rank = min(rank, full)
        return _exact_error(tiles, spectrum(tiles, shape, _width(rank, full), seed), rank)
    assert tolerance is not None
    most = min(most, full)
    wanted = min(32, most)
    while True:
        found = spectrum(tiles, shape, _width(wanted, full), seed)
        enough = found.rank_for(tolerance) if found.norm else 1
        if enough is not None and enough <= most:
            return _exact_error(tiles, found, enough)
        if wanted == most:
            return None
        wanted = min(2 * wanted, most)


def spectrum(tiles: Tiles, shape: tuple[int, int], width: int, seed: int) -> Spectrum:
    """The `width` leading singular triples, the last few of them roughly."""
    out, inside = shape
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(inside, width, generator=generator)).Q
    for _ in range(POWER):
        turned = torch.zeros(inside, width)
        for _, tile in tiles():
            turned.addmm_(tile.T, tile @ basis)
        basis = torch.linalg.qr(turned).Q
    seen, square = torch.empty(out, width), 0.0
    for rows, tile in tiles():
        torch.mm(tile, basis, out=seen[rows])
        square += _square(tile)
    # seen = D Q with orthonormal columns of Q, so its SVD is that of D within their span; of the
    # small triangle it costs a tenth of what it would of the tall matrix.
    q, r = torch.linalg.qr(seen)
    u, s, vt = torch.linalg.svd(r)
    return Spectrum(q @ u, s, vt @ basis.T, math.sqrt(square))


def _exact_error(tiles: Tiles, found: Spectrum, rank: int) -> Factored:
    root = found.s[:rank].sqrt()
    b = (found.u[:, :rank] * root).contiguous()
    a = (root[:, None] * found.vt[:rank]).contiguous()
    return Factored(b, a, found.norm, distance(tiles, b, a))


def distance(tiles: Tiles, b: Tensor, a: Tensor) -> float:
    """Frobenius norm of the change minus `b @ a`, in one pass."""
    left: Tensor | None = None
    square = 0.0
    for rows, tile in tiles():
        if left is None or left.shape[0] < tile.shape[0]:
            left = torch.empty_like(tile)
        part = left[: tile.shape[0]]
        torch.addmm(tile, b[rows], a, alpha=-1.0, out=part)
        square += _square(part)
    return math.sqrt(square)


def _square(tile: Tensor) -> float:
    # Norms of rows in float32 lose nothing that matters; their squares are added in float64.
    rows = torch.linalg.vector_norm(tile, dim=1)
    return float(rows.double().square().sum())


def _width(rank: int, full: int) -> int:
    return min(full, rank + max(SPARE, rank // 4))
