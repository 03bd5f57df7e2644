"""Whether questions may share the tokens before them, in training and in generation.

Sharing is exact when a token's state depends on the tokens before it and on its position alone,
with one position a token and full attention. What else there is (positions in several dimensions,
sliding windows, cross attention, pictures that look at themselves both ways) is told apart by
asking the model, not by its name.
"""

from __future__ import annotations

import inspect

from transformers import PreTrainedModel

MASKABLE = ("sdpa", "eager")
"""Attention implementations that take a mask of any form."""


def sharing_obstacle(model: PreTrainedModel) -> str | None:
    """Why prefixes cannot be shared on this model, as a phrase; None if they can."""
    text = model.config.get_text_config()
    kinds = getattr(text, "layer_types", None)
    if model.config.is_encoder_decoder:
        return "it is an encoder-decoder"
    if hasattr(model.base_model, "get_rope_index"):
        return "its positions have several dimensions"
    if getattr(text, "cross_attention_layers", None):
        return "it looks at pictures by cross attention"
    if "token_type_ids" in inspect.signature(model.forward).parameters:
        return "its picture tokens see each other both ways"
    if kinds is not None and any(kind != "full_attention" for kind in kinds):
        return "not all of its layers have full attention"
    if kinds is None and getattr(text, "sliding_window", None) is not None:
        return "its attention has a sliding window"
    attention = getattr(text, "_attn_implementation", None)
    if attention not in MASKABLE:
        return f'attention "{attention}" takes no block mask, expected sdpa or eager'
    return None


def common_prefix(sequences: list[tuple[int, ...]]) -> int:
    """Length of the longest common prefix."""
    first, last = min(sequences), max(sequences)
    # The smallest and the largest in order differ wherever any two of them do.
    shorter = min(len(first), len(last))
    return next((i for i in range(shorter) if first[i] != last[i]), shorter)
