"""The tokens that mean something to a model: pictures, turns, the end of an answer.

No one place knows them all: configuration, processor, tokenizer and generation settings are asked.
"""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel, ProcessorMixin


def image_id(processor: ProcessorMixin, model: PreTrainedModel) -> int | None:
    """The token that features are put in the place of, as the model or else its processor says."""
    for owner, name in (
        (model.config, "image_token_id"),
        (model.config, "image_token_index"),
        (processor, "image_token_id"),
    ):
        found = getattr(owner, name, None)
        if isinstance(found, int):
            return found
    return None


def special_tokens(tokenizer: Any) -> dict[int, str]:
    """Special tokens by id, also those that the tokenizer has no name for (Gemma's turns)."""
    named = zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True)
    added = tokenizer.added_tokens_decoder.items()
    return {**{key: str(token) for key, token in added if token.special}, **dict(named)}


def named_tokens(processor: ProcessorMixin) -> set[str]:
    """What the processor calls a token: picture, row break, end of the picture."""
    return {
        value
        for name, value in vars(processor).items()
        if name.endswith("_token") and isinstance(value, str) and value
    }


def end_of_sequence(tokenizer: Any, model: PreTrainedModel) -> frozenset[int]:
    """Ids that end an answer, as generation settings and tokenizer say."""
    found: set[int] = set()
    settings = getattr(model, "generation_config", None)
    for value in (getattr(settings, "eos_token_id", None), tokenizer.eos_token_id):
        if value is not None:
            found |= set(value) if isinstance(value, list | tuple) else {int(value)}
    return frozenset(found)
