"""Whether questions may share the tokens before them, in training and in generation.

Sharing is exact when a token's state depends on the tokens that its mask shows it and on its
position alone. What is known to break that is asked of the model's configuration; then a row of
two questions is put to the model once, packed and alone, since an architecture may break it in a
way that nobody has heard of. That costs a few forward passes on a tiny picture, once a model.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from transformers import PreTrainedModel, ProcessorMixin

from excise.vlm.masks import MASKABLE, reaches
from excise.vlm.trial import trial

_tried: WeakKeyDictionary[PreTrainedModel, dict[tuple[object, ...], str | None]] = (
    WeakKeyDictionary()
)


def sharing_obstacle(model: PreTrainedModel, processor: ProcessorMixin | None = None) -> str | None:
    """Why prefixes cannot be shared on this model, as a phrase; None if they can.

    Args:
        processor: what the model is tried with; without it the configuration alone answers.

    Raises:
        InputError: the processor and its chat template cannot be used with the model.
    """
    obstacle = known_obstacle(model)
    if obstacle is not None or processor is None:
        return obstacle
    tried = _tried.setdefault(model, {})
    key = (model.config.get_text_config()._attn_implementation, model.dtype, model.device)
    if key not in tried:
        tried[key] = trial(model, processor)
    return tried[key]


def known_obstacle(model: PreTrainedModel) -> str | None:
    """What the configuration says."""
    text = model.config.get_text_config()
    if model.config.is_encoder_decoder:
        return "it is an encoder-decoder"
    attention = getattr(text, "_attn_implementation", None)
    if attention not in MASKABLE:
        return f'attention "{attention}" takes no block mask, expected {" or ".join(MASKABLE)}'
    if not reaches(text):
        kinds = sorted({*text.layer_types} - {"full_attention"})
        return f"its layers ({', '.join(kinds)}) hand on more than a mask can hide"
    return None
