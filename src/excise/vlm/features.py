"""The frozen vision tower runs once for each picture, not once for each question and epoch.

Inside `FeatureCache.serving` the model's own picture step (`get_image_features`; the vision tower's
forward pass on a model that has no such method) is answered from what was kept. Everything after it
is the model's own code, also under PEFT, whose adapters on the language model leave it alone.

Each picture is run on its own, without dropout, autocast and gradient, so that its features do not
depend on what else is in a batch and are the same in training and in evaluation. Features computed
once for a 7B LLaVA take 4.7 MB a picture in bfloat16; they wait in main memory.

They are used while they are right: where anything outside the language model is being trained, the
model computes for itself (`obstacle` says so), and if a weight there was changed (seen by torch's
version counters, which an applied run raises) all features are dropped. A change behind torch's
back, through `.data` or `numpy()`, needs a call of `clear`.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from excise.vlm.features_disk import FeatureFolder
from excise.vlm.features_form import joined, mapped, size
from excise.vlm.features_source import VisionSide, update
from excise.vlm.parts import Parts, find_parts
from excise.vlm.pictures import CROSS_ATTENTION, EncodedPicture
from excise.vlm.wrapping import standing_in, unwrapped

LIMIT = 2 << 30
FOLDER_LIMIT = 16 << 30

_caches: WeakKeyDictionary[PreTrainedModel, FeatureCache] = WeakKeyDictionary()


def feature_cache(model: nn.Module) -> FeatureCache:
    """The one cache of a model, wrapped or not; made with the default limits if there is none."""
    inner = unwrapped(model)
    if inner not in _caches:
        _caches[inner] = FeatureCache(inner)
    return _caches[inner]


class FeatureCache:
    """Picture features of one model.

    Args:
        model: the model, in or out of wrappers. From now on `feature_cache(model)` is this cache.
        limit_bytes: of features in main memory; those used longest ago go first.
        folder: keeps features on disk as well, for later calls on the same weights.
        parts: of the model, if they were not found but named by hand.
        folder_limit: of bytes there.

    Raises:
        InputError: the folder cannot be written to, or the model's parts are not found.
    """

    def __init__(
        self,
        model: nn.Module,
        limit_bytes: int = LIMIT,
        folder: str | Path | None = None,
        *,
        parts: Parts | None = None,
        folder_limit: int = FOLDER_LIMIT,
    ) -> None:
        inner = unwrapped(model)
        _caches[inner] = self
        self._side = VisionSide(inner, parts or find_parts(inner))
        self._limit = limit_bytes
        self._disk = None if folder is None else FeatureFolder(Path(folder), folder_limit)
        self._kept: OrderedDict[Any, dict[str, Any]] = OrderedDict()
        self._bytes = 0
        self._state: Any = None
        self._weights: str | None = None
        self._form_unknown = False
        self.hits = 0
        """Features found in memory."""
        self.loaded = 0
        """Features found on disk."""
        self.computed = 0
        """Runs of the vision tower, one picture each."""

    @property
    def obstacle(self) -> str | None:
        """Why features are not kept at present, as a phrase; None if they are."""
        if self._form_unknown:
            return "its picture features are of a form not known here"
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in self._side.tensors()):
            return "weights outside the language model are trained"
        return None

    def clear(self) -> None:
        """Forget all features in memory, after a change of weights that torch could not see."""
        self._kept.clear()
        self._bytes = 0
        self._weights = None

    def fill(self, pictures: Sequence[EncodedPicture]) -> None:
        """Compute what is missing now, rather than when it is first asked for."""
        if self._usable():
            for picture in pictures:
                self._value(picture)

    @contextmanager
    def serving(self, sequences: Sequence[EncodedPicture | None]) -> Iterator[None]:
        """Inside, the model's features of a batch are served.

        Args:
            sequences: the picture or None of each sequence of the batch, as `join_pictures` has
                them. A call of the model with other pictures than these computes them.
        """
        pictures = _entries(sequences)
        if not pictures or not self._usable():
            yield
            return
        values: dict[Any, dict[str, Any]] = {}
        for picture in pictures:
            if (key := _key(picture)) not in values:
                values[key] = self._value(picture)
        if self._form_unknown:
            yield
            return
        owner, name = self._side.step
        original = getattr(owner, name)
        device = self._side.device

        @functools.wraps(original)  # `generate` reads its signature
        def served(*args: Any, **kwargs: Any) -> Any:
            if not _is_batch_of(pictures, original, args, kwargs):
                return original(*args, **kwargs)
            return joined([values[_key(picture)] for picture in pictures], device)

        with standing_in(owner, name, served):
            yield

    def _usable(self) -> bool:
        if self.obstacle is not None:
            return False
        state = self._side.state()
        if state != self._state:
            self.clear()
            self._state = state
        return True

    def _value(self, picture: EncodedPicture) -> dict[str, Any]:
        key = _key(picture)
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            self.hits += 1
            return found
        found = None if self._disk is None else self._disk.read(self._disk_key(picture))
        if found is not None:
            self.loaded += 1
        else:
            found = self._side.compute(picture)
            self.computed += 1
            if found is None:
                self._form_unknown = True
                return {}
            if self._disk is not None:
                self._disk.write(self._disk_key(picture), found)
        if self._side.device.type == "cuda":
            found = mapped(found, Tensor.pin_memory)  # copies to the GPU run beside its work
        self._kept[key] = found
        self._bytes += size(found)
        while self._bytes > self._limit:
            self._bytes -= size(self._kept.popitem(last=False)[1])
        return found

    def _disk_key(self, picture: EncodedPicture) -> str:
        if self._weights is None:
            self._weights = self._side.weights_key()
        digest = hashlib.blake2b(f"{self._weights} {picture.key}".encode(), digest_size=16)
        for name in sorted(picture.tensors):  # another processor makes others of the same picture
            digest.update(name.encode())
            update(digest, picture.tensors[name])
        return digest.hexdigest()


def _entries(sequences: Sequence[EncodedPicture | None]) -> list[EncodedPicture]:
    """The pictures that `join_pictures` makes tensors of."""
    given = [picture for picture in sequences if picture is not None]
    if given and CROSS_ATTENTION in given[0].token_values:
        zeros = {name: torch.zeros_like(tensor) for name, tensor in given[0].tensors.items()}
        blank = replace(given[0], key="blank", tensors=zeros)
        return [blank if picture is None else picture for picture in sequences]
    return given


def _key(picture: EncodedPicture) -> Any:
    return picture.key, *((name, tensor.shape) for name, tensor in picture.tensors.items())


def _is_batch_of(
    pictures: Sequence[EncodedPicture],
    step: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> bool:
    """Whether a call is about as many pictures, tiles or patches as the pictures have."""
    given = inspect.signature(step).bind(*args, **kwargs).arguments
    given |= given.pop("kwargs", {})
    return all(
        isinstance(value := given.get(name), Tensor)
        and value.shape[:1] == (sum(picture.tensors[name].shape[0] for picture in pictures),)
        for name in pictures[0].tensors
        if name in given
    )
