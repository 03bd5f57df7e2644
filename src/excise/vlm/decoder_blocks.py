"""The blocks of the language model, one after the other, and what in them is no attention.

Methods that act at a depth ("a quarter of the way up", "the top quarter") ask here. The blocks are
the longest list of modules that the linear layers of the language model stand in, which holds for
every family without a list of names. What mixes tokens (attention, convolution, a state) is told by
its name, since nothing else tells it from the MLP before the model has run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import nn
from transformers import PreTrainedModel

from excise.records.errors import InputError
from excise.vlm.parts import Parts, linear_targets

_MIXES_TOKENS = re.compile(r"att(entio)?n|conv|mamba|ssm|mixer|recurrent", re.IGNORECASE)


def decoder_blocks(model: PreTrainedModel, parts: Parts) -> list[str]:
    """Full names of the language model's blocks, from the lowest to the highest.

    Raises:
        InputError: its linear layers stand in no list of modules.
    """
    lists = {name for name, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    found: dict[str, list[str]] = {}
    for target in linear_targets(model, parts):
        path = target.split(".")
        ends = (end for end in range(1, len(path)) if ".".join(path[:end]) in lists)
        if (end := next(ends, None)) is not None:
            found.setdefault(".".join(path[:end]), []).append(path[end])
    if not found:
        raise InputError(f"{type(model).__name__}: the language model has no blocks to count")
    stem = max(found, key=lambda name: len(set(found[name])))
    return [f"{stem}.{number}" for number in sorted({*found[stem]}, key=int)]


def mlp_targets(model: PreTrainedModel, parts: Parts, blocks: Sequence[str]) -> list[str]:
    """The linear layers of some blocks without those that mix tokens, in the model's order.

    Raises:
        InputError: there are none.
    """
    targets = [
        target
        for target in linear_targets(model, parts)
        for block in blocks
        if target.startswith(f"{block}.") and not _MIXES_TOKENS.search(target[len(block) :])
    ]
    if not targets:
        raise InputError(f"{type(model).__name__}: no MLP among the layers of {len(blocks)} blocks")
    return targets
