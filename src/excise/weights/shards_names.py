"""Which stored tensors make up a weight of the model, as transformers itself would load them.

The names in a checkpoint are not those of the modules: transformers renames on loading
(`language_model.model.layers` becomes `model.language_model.layers`) and for some families cuts or
joins tensors (a fused `qkv` becomes three weights). The model is built without memory (on the meta
device), its own conversions are asked for, and each stored key is sent through them just as
`from_pretrained` does. A weight that comes out of a conversion is edited through it: converted,
edited, converted back, and that way there and back is checked to be exact on the tensors at hand.

Cost: one model without weights, about a second for a large one; a fused tensor needs about three
times its own size while it is edited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForImageTextToText
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import (
    WeightConverter,
    WeightRenaming,
    apply_converters,
    apply_renamings,
    dot_natural_key,
    rename_source_key,
)

from excise.records.errors import InputError
from excise.weights.run_base import refuse_quantised

_auto_model: Any = AutoModelForImageTextToText


@dataclass
class Piece:
    """Stored tensors that belong together, and the touched weights that they hold.

    Without a converter there is one key and one weight, and they are equal but for their names.
    """

    keys: list[str] = field(default_factory=list)
    modules: dict[str, str] = field(default_factory=dict)
    """Touched module by the name of its weight."""
    target: str = ""
    patterns: dict[str, str] = field(default_factory=dict)
    """Which of the converter's sources each key is."""
    converter: Any = None


class Names:
    """The model's skeleton and the way of each stored tensor into it."""

    def __init__(self, source: str, keys: Iterable[str]) -> None:
        """Send every key of a checkpoint through the conversions of its model.

        Raises:
            InputError: the configuration is of a quantised model, or no model can be made of it.
        """
        self.source = source
        try:
            config = AutoConfig.from_pretrained(source)
            with torch.device("meta"):
                self.model: nn.Module = _auto_model.from_config(config)
        except (OSError, ValueError, KeyError, ImportError) as error:
            line = (str(error).strip().splitlines() or ["unknown"])[0]
            raise InputError(f"{source}: no model can be made of its config ({line})") from None
        refuse_quantised(source, config)
        model: Any = self.model
        model.tie_weights()
        self.weights: Mapping[str, Tensor] = model.state_dict()
        self._prefix: str = model.base_model_prefix
        transforms = get_model_conversion_mapping(model)
        self._renamings = [t for t in transforms if isinstance(t, WeightRenaming)]
        self._converters = [t for t in transforms if isinstance(t, WeightConverter)]
        by_pattern = {p: c for c in self._converters for p in c.source_patterns}
        self._pieces: dict[str, Piece] = {}
        # Sorted as transformers does: some of its renamings depend on what they saw before.
        for key in sorted(keys, key=dot_natural_key):
            target, pattern = self._loaded_as(key)
            piece = self._pieces.setdefault(target, Piece(target=target))
            piece.keys.append(key)
            if pattern is not None:
                piece.converter = by_pattern[pattern]
                piece.patterns[key] = pattern

    def pieces(self, shapes: Mapping[str, tuple[int, int]]) -> list[Piece]:
        """The stored tensors of the touched modules' weights.

        Raises:
            InputError: the model has no such module, of that shape or kind; its weight is tied to
                another one, so that only one side would be edited; or the checkpoint does not hold
                it. The module is named.
        """
        tied = self._tied()
        found: dict[str, Piece] = {}
        for module, shape in shapes.items():
            weight = f"{module}.weight"
            self._check(module, shape, tied)
            piece = self._holding(weight)
            if piece is None:
                raise InputError(f"{self.source}: {weight} is not in the checkpoint")
            if piece.converter is None and len(piece.keys) > 1:
                both = " and ".join(piece.keys)
                raise InputError(f"{self.source}: {weight} is stored twice, as {both}")
            found.setdefault(piece.target, piece).modules[weight] = module
        return list(found.values())

    def edit(
        self,
        piece: Piece,
        stored: Mapping[str, Tensor],
        edited: Callable[[str, Tensor], Tensor],
    ) -> dict[str, Tensor]:
        """The stored tensors of a piece after `edited(module, weight)` on each touched weight.

        Raises:
            InputError: the conversion of this family cannot be taken back exactly.
        """
        if piece.converter is None:
            [key], [module] = piece.keys, piece.modules.values()
            return {key: edited(module, stored[key])}
        weights = self._converted(piece, stored)
        unedited = self._unconverted(piece, weights)
        if any(not torch.equal(unedited[key], stored[key]) for key in piece.keys):
            raise self._no_way_back(piece)
        for weight, module in piece.modules.items():
            weights[weight] = edited(module, weights[weight].contiguous())
        return self._unconverted(piece, weights)

    def _check(self, module: str, shape: tuple[int, int], tied: Mapping[str, str]) -> None:
        try:
            layer = self.model.get_submodule(module)
        except AttributeError:
            raise InputError(
                f"{module}: the run changes this module, which the model does not have"
            ) from None
        if not isinstance(layer, nn.Linear):
            kind = type(layer).__name__
            raise InputError(f"{module}: is a {kind}; expected a plain Linear")
        if tuple(layer.weight.shape) != shape:
            raise InputError(
                f"{module}: shape {tuple(layer.weight.shape)}; the run was made for {shape}"
            )
        other = tied.get(f"{module}.weight")
        if other is not None:
            raise InputError(
                f"{module}: its weight is tied to {other}, which the run would change with it"
            )

    def _tied(self) -> dict[str, str]:
        """Names of weights that are one and the same, each with another one of its names."""
        model: Any = self.model
        pairs = dict(model.get_expanded_tied_weights_keys(all_submodels=True))
        return pairs | {other: name for name, other in pairs.items()}

    def _loaded_as(self, key: str) -> tuple[str, str | None]:
        """The weight that a stored tensor goes into, and the converter's pattern if one is used."""
        meta: Any = self.weights
        found = rename_source_key(key, self._renamings, self._converters, self._prefix, meta)
        if found[0] not in self.weights and key in self.weights:
            return rename_source_key(key, [], [], self._prefix, meta)
        return found

    def _holding(self, weight: str) -> Piece | None:
        if weight in self._pieces:
            return self._pieces[weight]
        for piece in self._pieces.values():  # a fused tensor is filed under the first of its parts
            if piece.converter is not None and weight in _parts(piece):
                return piece
        return None

    def _converted(self, piece: Piece, stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
        forward = deepcopy(piece.converter)
        for key in piece.keys:
            forward.add_tensor(piece.target, key, piece.patterns[key], stored[key])
        return self._run(forward, piece.target)

    def _unconverted(self, piece: Piece, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The way back, as `save_pretrained` goes; by stored key."""
        try:
            backward = piece.converter.reverse_transform()
        except (NotImplementedError, ValueError):
            raise self._no_way_back(piece) from None
        target = ""
        for name, tensor in sorted(weights.items(), key=lambda item: dot_natural_key(item[0])):
            renamed, pattern = apply_converters(name, [backward])
            if pattern is None:
                raise self._no_way_back(piece)
            target = target or renamed
            backward.add_tensor(target, name, pattern, tensor)
        made = {self._bare(name): t for name, t in self._run(backward, target).items()}
        names = {key: apply_renamings(key, self._renamings) for key in piece.keys}
        found = {key: made.get(self._bare(name)) for key, name in names.items()}
        if any(tensor is None for tensor in found.values()) or len(made) != len(piece.keys):
            raise self._no_way_back(piece)
        return {key: tensor.contiguous() for key, tensor in found.items() if tensor is not None}

    def _run(self, converter: Any, target: str) -> dict[str, Tensor]:
        config = self.model.config
        made = converter.convert(target, model=self.model, config=config)
        return {name: t[0] if isinstance(t, list) else t for name, t in made.items()}

    def _bare(self, name: str) -> str:
        return name.removeprefix(f"{self._prefix}.") if self._prefix else name

    def _no_way_back(self, piece: Piece) -> InputError:
        what = ", ".join(piece.keys)
        return InputError(
            f"{self.source}: {what}: cannot be edited; its conversion has no way back"
        )


def _parts(piece: Piece) -> list[str]:
    """The weights that a converter makes of a piece."""
    first, *others = piece.converter.target_patterns
    return [piece.target, *(piece.target.replace(first, other) for other in others)]
