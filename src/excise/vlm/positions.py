"""Positions of a whole conversation, as the model itself counts them.

Most models count tokens. Some give a picture's tokens a position in each of several dimensions
(time, height, width) and let the text go on behind the largest: these are asked through
transformers' `get_rope_index`. Once a picture, since text only counts on from where it ended.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

TYPES = "mm_token_type_ids"
"""transformers' name for what a token stands for: 0 text, 1 a picture."""


class Positions:
    """Positions of one model; `dimensions` is 1 where tokens are just counted."""

    def __init__(self, model: PreTrainedModel, image_id: int | None) -> None:
        self._ask: Any = getattr(model.base_model, "get_rope_index", None)
        self._device = model.device
        self._image_id = image_id
        self.dimensions = 1
        if self._ask is not None:
            self._accepts = inspect.signature(self._ask).parameters
            self.dimensions = len(self._asked(torch.zeros(1, dtype=torch.long), {}))

    def of(self, ids: tuple[int, ...], inputs: Mapping[str, Tensor]) -> Tensor:
        """(D, T): where the tokens of a beginning with a picture stand.

        Args:
            inputs: the processor's tensors of the picture and of its tokens.
        """
        if self._ask is None:
            return torch.arange(len(ids))[None]
        return self._asked(torch.tensor(ids), inputs)

    def text(self, length: int, after: Tensor | None = None) -> Tensor:
        """(D, `length`): where text stands, behind a token at `after`, (D,), or from zero on."""
        start = torch.full((self.dimensions,), -1) if after is None else after
        return start[:, None] + torch.arange(1, length + 1)

    def _asked(self, ids: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        given = {name: value for name, value in inputs.items() if name in self._accepts}
        types = inputs.get(TYPES)
        if types is None:
            types = torch.isin(ids, -1 if self._image_id is None else self._image_id).int()
        if TYPES in self._accepts:
            given[TYPES] = types[None]
        given["input_ids"] = ids[None]
        given = {name: value.to(self._device) for name, value in given.items()}
        positions: Tensor = self._ask(**given)[0]
        return positions[:, 0].cpu()
