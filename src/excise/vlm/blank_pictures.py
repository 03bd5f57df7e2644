"""Sequences without a picture, in a batch with others, on a model that looks by cross attention.

There each sequence of a batch must have a picture; processors give a blank one (aspect ratio 0) to
those that have none. transformers leaves the attention of such a sequence on the blank picture's
features, whose biases make them differ from nothing, while the same sequence in a batch of text
skips the cross attention altogether. With its features set to zero the two are the same: the keys
all weigh alike and the values are zero. Nothing else on the model changes.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from torch import Tensor, nn
from transformers import PreTrainedModel

_done: WeakSet[nn.Module] = WeakSet()


def silence_blank_pictures(model: PreTrainedModel) -> None:
    """Hook a model with cross attention so that blank pictures count for nothing; others stay."""
    inner: Any = model.base_model
    projector = getattr(inner, "multi_modal_projector", None)
    if projector is None or inner in _done:
        return
    if not getattr(model.config.get_text_config(), "cross_attention_layers", None):
        return
    _done.add(inner)
    blank: list[Tensor | None] = [None]

    def note(module: nn.Module, args: tuple[Any, ...], given: dict[str, Any]) -> None:
        ratios = given.get("aspect_ratio_ids")
        blank[0] = None if ratios is None else (ratios == 0).all(-1)

    def silence(module: nn.Module, args: tuple[Any, ...], features: Tensor) -> Tensor | None:
        if blank[0] is None or not bool(blank[0].any()):
            return None
        shape = (-1, *[1] * (features.dim() - 1))
        return features.masked_fill(blank[0].view(shape).to(features.device), 0)

    inner.register_forward_pre_hook(note, with_kwargs=True)
    projector.register_forward_hook(silence)
