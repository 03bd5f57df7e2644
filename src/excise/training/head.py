"""The head where there are labels only, and at most a chunk of them at a time.

Of a row with a picture most positions have no label, and logits over 150,000 words are the largest
tensors of a training step: 1,000 answer tokens make 600 MB in float32, and the loss holds two or
three such at once. So the model without its head runs over the batch, and the model's own code from
the last hidden states on runs over chunks of the labelled ones, each computed again in the backward
pass. Being the model's own code it does whatever follows the head (soft-capping, scaling). The
price is one product with the head more for each chunk but the first.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from excise.vlm.wrapping import core, standing_in, unwrapped

CHUNK_BYTES = 64 << 20
"""Of logits in float32; what one chunk is to stay near."""


@dataclass
class Chunks:
    """The labelled positions of a batch after the forward pass.

    `first` is (n, vocabulary), the logits of the first of them; `rest` are the last hidden states
    of the others, each (n, hidden); `head` makes logits of those.
    """

    first: Tensor
    rest: tuple[Tensor, ...]
    head: Callable[[Tensor], Tensor]
    states: tuple[Tensor, ...]
    """The last hidden states, (n, hidden), of all of them; logits where there is no telling."""

    def map(self, function: Callable[[Tensor, Tensor], Tensor], targets: Tensor) -> Tensor:
        """`function` of logits (n, vocabulary) and targets (n, ...), chunk by chunk, concatenated.

        The logits of one chunk at a time are in memory, in the forward and in the backward pass.
        """
        done = [function(self.first, targets[: len(self.first)])]
        start = len(self.first)
        for states in self.rest:
            wanted = targets[start : start + len(states)]
            start += len(states)
            done.append(
                checkpoint(
                    lambda s, t: function(self.head(s), t),
                    states,
                    wanted,
                    use_reentrant=False,
                    preserve_rng_state=False,  # nothing random follows the head
                )
            )
        return torch.cat(done)


def chunk_of(model: PreTrainedModel) -> int:
    """How many positions' logits take about `CHUNK_BYTES`."""
    words: int = unwrapped(model).config.get_text_config().vocab_size
    return max(1, CHUNK_BYTES // (4 * words))


def run_to_head(
    model: PreTrainedModel, inputs: Mapping[str, Any], keep: Tensor, chunk: int
) -> Chunks:
    """One forward pass of the model, wrapped or not, with the head at `keep`, (B, T), only."""
    inner = unwrapped(model)
    body = core(inner)
    if body is None:  # its head cannot be told from the rest
        logits = model(**inputs, use_cache=False).logits
        found = logits[keep.to(logits.device)]
        return Chunks(found, (), lambda states: states, (found,))
    run = body.forward
    seen: dict[str, Any] = {}

    def reduced(*args: Any, **kwargs: Any) -> Any:
        output = run(*args, **kwargs)
        states = output.last_hidden_state
        seen["states"] = torch.split(states[keep.to(states.device)], chunk)
        kind = states.device.type
        seen["autocast"] = (kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind))
        seen["output"] = _with_states(output, states[:0])
        return _with_states(output, seen["states"][0][None])

    with standing_in(body, "forward", reduced):
        first = model(**inputs, use_cache=False).logits[0]
    some = inputs["input_ids"][:1, :1]

    def head(states: Tensor) -> Tensor:
        kind, dtype, enabled = seen["autocast"]  # the Trainer's, which ends with its forward pass
        output = _with_states(seen["output"], states[None])
        with (
            torch.autocast(kind, dtype=dtype, enabled=enabled),
            standing_in(body, "forward", lambda *_, **__: output),
        ):
            logits: Tensor = inner(input_ids=some, use_cache=False).logits[0]
        return logits

    return Chunks(first, seen["states"][1:], head, seen["states"])


def _with_states(output: Any, states: Tensor) -> Any:
    changed = copy.copy(output)
    changed["last_hidden_state"] = states
    return changed
