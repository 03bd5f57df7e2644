"""The part of a model in front of its language model: who makes features of pictures, and how.

All that lies outside the language model and the head belongs to it: vision tower, projector, and
whatever a family has between them. Walked once a question asked of it, about 0.1 ms.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from typing import Any
from weakref import ref

import torch
import transformers
from torch import Tensor, nn
from transformers import PreTrainedModel

from excise.vlm.features_form import mapped, taken
from excise.vlm.parts import Parts
from excise.vlm.pictures import EncodedPicture
from excise.vlm.wrapping import core


class VisionSide:
    """Of one model, which it does not keep alive."""

    def __init__(self, model: PreTrainedModel, parts: Parts) -> None:
        self._model = ref(model)
        self._parts = parts

    @property
    def model(self) -> PreTrainedModel:
        model = self._model()
        if model is None:
            raise ReferenceError("the model of these features is gone")
        return model

    @property
    def step(self) -> tuple[nn.Module, str]:
        """The module and its method that turn pixels into features."""
        model = self.model
        owner = core(model) or model
        if hasattr(owner, "get_image_features"):
            return owner, "get_image_features"
        return model.get_submodule(self._parts.vision_tower), "forward"

    @property
    def device(self) -> torch.device:
        places = (tensor.device for tensor in self.tensors())
        return next((place for place in places if place.type != "meta"), self.model.device)

    def modules(self) -> list[nn.Module]:
        """All modules but those of the language model and the head."""
        model = self.model
        left_out = {model.get_submodule(self._parts.language_model)}
        if self._parts.lm_head is not None:
            left_out.add(model.get_submodule(self._parts.lm_head))
        found: list[nn.Module] = []

        def walk(module: nn.Module) -> None:
            if module not in left_out:
                found.append(module)
                for child in module.children():
                    walk(child)

        walk(model)
        return found

    def tensors(self) -> list[Tensor]:
        """Their parameters and buffers."""
        return [
            tensor
            for module in self.modules()
            for tensor in (*module._parameters.values(), *module._buffers.values())
            if tensor is not None
        ]

    def state(self) -> Any:
        """Changes when one of them is replaced or written to, as far as torch can see."""
        return tuple((id(t), 0 if t.is_inference() else t._version) for t in self.tensors())

    def weights_key(self) -> str:
        """A hash of what features of a picture depend on, but for the picture."""
        digest = hashlib.blake2b(digest_size=16)
        versions = [torch.__version__, transformers.__version__, self.device.type]
        digest.update(json.dumps([type(self.model).__name__, *versions]).encode())
        for tensor in self.tensors():
            update(digest, tensor)
        return digest.hexdigest()

    def compute(self, picture: EncodedPicture) -> dict[str, Any] | None:
        """The features of one picture, on the CPU; None if they are of a form not known."""
        owner, name = self.step
        ask: Callable[..., Any] = getattr(owner, name)
        accepted = inspect.signature(ask).parameters
        device = self.device
        given = {n: t.to(device) for n, t in picture.tensors.items() if n in accepted}
        training = [module for module in self.modules() if module.training]
        for module in training:
            module.training = False
        try:
            # Not under inference mode, whose tensors no later training step could use.
            with (
                torch.inference_mode(False),
                torch.no_grad(),
                torch.autocast(device.type, enabled=False),
            ):
                found = taken(ask(**given))
                return None if found is None else mapped(found, lambda t: t.clone().cpu())
        finally:
            for module in training:
                module.training = True


def update(digest: Any, tensor: Tensor) -> None:
    """Hash a tensor's type, shape and bytes."""
    digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
    plain = tensor.detach().cpu().contiguous().reshape(-1)
    digest.update(plain.view(torch.uint8).numpy())
