"""The answers of a batch, told apart by their role: what losses with several terms are made of.

A term is a mean over its own tokens or answers, not over the batch's: `L_f + λ L_r` weighs both
sides as the papers write it, however many tokens each has. Where several processes share a batch,
a term's mean is still that of the whole batch: each process divides by everybody's count, which
the trainer puts into the batch as `totals`, and makes up for the trainer's own weighting.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from excise.vlm.packing import IGNORED, role_id


@dataclass(frozen=True)
class Totals:
    """How many answer tokens and answers there are of each role, by `role_id`."""

    tokens: Mapping[int, int] = field(default_factory=dict)
    answers: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, batch: Mapping[str, Any]) -> Totals:
        """Those of one batch."""
        found = Answers._layout(batch)
        return cls(_counted(found[0]), _counted(found[2]))

    def __add__(self, other: Totals) -> Totals:
        return Totals(_added(self.tokens, other.tokens), _added(self.answers, other.answers))

    @property
    def size(self) -> int:
        """All answer tokens."""
        return sum(self.tokens.values())


class Answers:
    """The N answer tokens and A answers of a batch, in the order of rows and positions.

    Attributes:
        roles: (N,) `role_id` of each token.
        index: (N,) which answer, 0 to A - 1, each token belongs to.
        lengths: (A,) tokens of each answer, its end marker among them.
        answer_roles: (A,) `role_id` of each answer.
    """

    def __init__(self, batch: Mapping[str, Any]) -> None:
        self.roles, self.index, self.answer_roles = self._layout(batch)
        self.lengths = torch.bincount(self.index, minlength=len(self.answer_roles))
        here = Totals(_counted(self.roles), _counted(self.answer_roles))
        self._totals: Totals = batch.get("totals") or here
        self._spread = self._totals.size / max(1, here.size)

    @staticmethod
    def _layout(batch: Mapping[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        labels, roles = batch["labels"], batch["roles"]
        answered = labels != IGNORED
        begins = answered.clone()
        begins[:, 1:] &= ~answered[:, :-1]  # answers never touch: a question stands between them
        index = begins.flatten().cumsum(0)[answered.flatten()] - 1
        return roles[answered], index, roles[begins]

    @property
    def first(self) -> Tensor:
        """(N,) bool: the first token of each answer, where it turns to a refusal or does not."""
        begins = torch.ones_like(self.index, dtype=torch.bool)
        begins[1:] = self.index[1:] != self.index[:-1]
        return begins

    @property
    def last(self) -> Tensor:
        """(N,) bool: the last token of each answer, its end marker."""
        ends = torch.ones_like(self.index, dtype=torch.bool)
        ends[:-1] = self.index[1:] != self.index[:-1]
        return ends

    def has(self, role: str) -> bool:
        """Whether this process has any token of the role."""
        return bool((self.roles == role_id(role)).any())

    def tokens_of(self, role: str) -> Tensor:
        """(N,) bool: the tokens of a role."""
        return self.roles == role_id(role)

    def sums(self, values: Tensor) -> Tensor:
        """(A,): the sum over each answer of (N,) values."""
        index = self.index.to(values.device)
        return values.new_zeros(len(self.answer_roles)).index_add(0, index, values)

    def mean(self, values: Tensor, role: str) -> Tensor:
        """Mean of (N,) values over the batch's tokens of a role; a zero with gradient if none."""
        return self._mean(values, self.roles, self._totals.tokens, role)

    def mean_of_answers(self, values: Tensor, role: str) -> Tensor:
        """Mean of (A,) values over the batch's answers of a role; a zero with gradient if none."""
        return self._mean(values, self.answer_roles, self._totals.answers, role)

    def _mean(self, values: Tensor, roles: Tensor, counts: Mapping[int, int], role: str) -> Tensor:
        key = role_id(role)
        chosen = values[(roles == key).to(values.device)]
        return chosen.sum() * (self._spread / max(1, counts.get(key, 0)))


def _counted(roles: Tensor) -> dict[int, int]:
    return dict(Counter(roles.tolist()))


def _added(one: Mapping[int, int], other: Mapping[int, int]) -> dict[int, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in one.keys() | other.keys()}
