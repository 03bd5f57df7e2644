"""What a model gives each token of an answer that is put into its mouth: one pass for many metrics.

Probability, truth ratio, exact memorisation, extraction strength and every membership score are
arithmetic on four numbers a token: its log-probability, whether it is the likeliest one, and mean
and deviation of the log-probability over the vocabulary. So the answers of all questions, right and
wrong ones alike, are teacher-forced together in packed rows: those about one picture share its
tokens, and its features come from the cache.

The vocabulary is summed up chunk by chunk (`training/head.py`), so that about 64 MiB of logits are
in memory at a time, whatever their number; pictures are decoded a batch at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from excise.records.data import Data
from excise.records.record import Record

if TYPE_CHECKING:
    from torch import Tensor

    from excise.vlm.load import VLM
    from excise.vlm.packing import Packer
    from excise.vlm.rows import Row

Floats = NDArray[np.float64]
Pair = tuple[Record, str]
"""A record, for its picture and question, and an answer to it."""

ROWS = 8
PER_ROW = 16
"""Answers a row about a picture: its tokens cost less a head, and masks grow with the square."""
_SMALLEST_VARIANCE = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class TokenScores:
    """The n tokens of one answer, its end marker last.

    Attributes:
        logprobs: (n,) natural log-probability of each token.
        hits: (n,) bool, whether the token is the likeliest of the vocabulary.
        means: (n,) expected log-probability of a token drawn from the model's own distribution.
        deviations: (n,) its standard deviation, at least 0.001.
    """

    logprobs: Floats
    hits: NDArray[np.bool_]
    means: Floats
    deviations: Floats

    @property
    def loss(self) -> float:
        """Mean cross entropy, end marker included."""
        return -float(self.logprobs.mean())

    @property
    def probability(self) -> float:
        """`P(a|q)^(1/|a|)`, in [0, 1]."""
        return float(np.exp(-self.loss))

    @property
    def said(self) -> TokenScores:
        """Without the end marker, as OpenUnlearning has it where it looks at single tokens."""
        return TokenScores(
            self.logprobs[:-1], self.hits[:-1], self.means[:-1], self.deviations[:-1]
        )


def token_scores(
    vlm: VLM, data: Data, pairs: Sequence[Pair], *, rows: int = ROWS
) -> list[TokenScores]:
    """The scores of each answer, in the order of `pairs`; equal pairs are computed once.

    Joined processes share the rows, and each gets all the values.

    Args:
        vlm: as it is now, with or without a run on it.
        rows: rows a batch, up to 16 answers each; memory grows with it.

    Raises:
        InputError: a picture that cannot be read, or an answer that does not fit the model.
    """
    import torch

    from excise.training.processes import world
    from excise.vlm.packing import Packer
    from excise.vlm.trial import evaluating

    packer = Packer(vlm.processor, vlm.model)
    keys = [(record.image, record.question, answer) for record, answer in pairs]
    mine = sorted(world().share(_grouped(pairs)), key=_length)
    found: dict[tuple[str | None, str, str], TokenScores] = {}
    with evaluating(vlm.model), torch.no_grad():
        for start in range(0, len(mine), rows):
            chunk = mine[start : start + rows]
            scores = _run(vlm, packer, [_row(data, group) for group in chunk])
            asked = [(r.image, r.question, answer) for group in chunk for r, answer in group]
            found.update(zip(asked, scores, strict=True))
    everything = {key: value for part in world().gather(found) for key, value in part.items()}
    return [everything[key] for key in keys]


def _grouped(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Unequal pairs in rows: those about one picture, or to one question without a picture.

    A row shares what its prompts begin with. That is the picture, which is most of it; where there
    is none it is the question.
    """
    groups: dict[tuple[str | None, str], dict[tuple[str, str], Pair]] = {}
    for record, answer in pairs:
        shared = record.image, "" if record.image else record.question
        groups.setdefault(shared, {}).setdefault((record.question, answer), (record, answer))
    return [row for group in groups.values() for row in _split([*group.values()])]


def _split(group: list[Pair]) -> list[list[Pair]]:
    """At most `PER_ROW` each, and alike in size, so that a batch has little padding."""
    count = -(-len(group) // PER_ROW)
    ends = [len(group) * i // count for i in range(count + 1)]
    return [group[start:end] for start, end in pairwise(ends)]


def _length(row: Sequence[Pair]) -> tuple[bool, int]:
    """Rows of like length stand together in batches."""
    return row[0][0].image is None, sum(len(record.question) + len(said) for record, said in row)


def _row(data: Data, group: Sequence[Pair]) -> Row:
    from excise.vlm.rows import Row, Turn

    turns = [Turn(record.question, answer, record=record.id) for record, answer in group]
    return Row(data.picture(group[0][0]), tuple(turns))


def _run(vlm: VLM, packer: Packer, rows: Sequence[Row]) -> list[TokenScores]:
    """Scores of all turns, row by row."""
    from excise.training.answers import Answers
    from excise.training.loss import run_answers
    from excise.vlm.masks import moved
    from excise.vlm.packing import IGNORED

    batch = packer.collate([packer.encode(row) for row in rows])
    pictures = batch.pop("pictures")
    batch = {**moved(batch, vlm.device), "pictures": pictures}
    targets = batch["labels"][batch["labels"] != IGNORED]
    values = run_answers(vlm.model, batch).map(_summed_up, targets)  # (N, 4)
    columns = values.double().cpu().numpy().T
    ends = np.cumsum(Answers(batch).lengths.cpu().numpy())
    return [
        TokenScores(logprobs, hits > 0, means, deviations)
        for logprobs, hits, means, deviations in zip(
            *(np.split(column, ends[:-1]) for column in columns), strict=True
        )
    ]


def _summed_up(logits: Tensor, targets: Tensor) -> Tensor:
    """(n, 4) from logits (n, vocabulary): log-probability, hit, mean, deviation.

    The deviation is computed from differences to the mean: as the mean square less the squared mean
    it would be rounding where the model is sure.
    """
    import torch

    logprobs = logits.float().log_softmax(-1)
    wanted = targets.to(logits.device)
    given = logprobs.gather(-1, wanted[:, None])[:, 0]
    hits = logprobs.argmax(-1) == wanted
    shares = logprobs.exp()
    impossible = shares == 0  # words that a model rules out have a log-probability of -inf
    means = (shares * logprobs.masked_fill(impossible, 0)).sum(-1)
    apart = (logprobs - means[:, None]).masked_fill_(impossible, 0)
    deviations = (shares * apart.square_()).sum(-1).clamp(min=_SMALLEST_VARIANCE).sqrt()
    return torch.stack([given, hits.to(given.dtype), means, deviations], dim=-1)
