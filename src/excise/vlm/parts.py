"""The parts of a vision-language model under their exact module names.

transformers is asked first (`get_decoder`, `get_encoder`, `get_output_embeddings`), because a
suffix such as `q_proj` also occurs in the vision tower: adapters go to full names inside one named
part, or nowhere. Only the projector has to be known by its customary names. Walks the module tree
once; no weight is touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import nn
from transformers import PreTrainedModel

from excise.records.errors import InputError

PartName = Literal["language_model", "vision_tower", "projector"]

PROJECTORS = (
    "multi_modal_projector",
    "connector",
    "merger",
    "mm_projector",
    "modality_projection",
    "projector",
    "embed_vision",
    "aligner",
)
"""Customary names of the module between picture features and word embeddings."""


@dataclass(frozen=True)
class Parts:
    """Module names as in `model.named_modules()`; None where the model has no such module."""

    vision_tower: str
    projector: str | None
    language_model: str
    lm_head: str | None


def find_parts(model: PreTrainedModel) -> Parts:
    """Name the vision tower, projector, language model and head.

    Raises:
        InputError: no language model or no vision tower; the modules that exist are listed.
    """
    names = {id(module): name for name, module in model.named_modules(remove_duplicate=True)}
    whole = {id(model), id(model.base_model)}
    asked: Any = model
    decoder = asked.get_decoder()
    tower = asked.get_encoder(modality="image")
    for part, module in (("language model", decoder), ("vision tower", tower)):
        if id(module) in whole or id(module) not in names:
            raise InputError(
                f"{type(model).__name__}: no {part} found among its modules {_outline(model)}"
            )
    head = asked.get_output_embeddings()
    language_model = names[id(decoder)]
    return Parts(
        vision_tower=names[id(tower)],
        projector=_projector(model, outside=language_model),
        language_model=language_model,
        lm_head=names.get(id(head)) if head is not None else None,
    )


def linear_targets(
    model: PreTrainedModel, parts: Parts, part: PartName = "language_model"
) -> list[str]:
    """Full names of the `nn.Linear` modules in the layers of a part, in the model's order.

    Heads, embeddings and whatever another part holds are left out.

    Raises:
        InputError: the part has no such module.
    """
    root = getattr(parts, part)
    if root is None:
        raise InputError(f"{type(model).__name__}: has no {part} to adapt")
    others = [
        name
        for name in (parts.vision_tower, parts.projector, parts.language_model)
        if name is not None and name != root and _inside(name, root)
    ]
    layers = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and _inside(name, root)
    ]
    targets = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and name != parts.lm_head
        and (_inside(name, root) if part == "projector" else any(_inside(name, x) for x in layers))
        and not any(_inside(name, other) for other in others)
    ]
    if not targets:
        raise InputError(
            f"{type(model).__name__}: no linear layers in {root}, modules are {_outline(model)}"
        )
    return targets


def _projector(model: PreTrainedModel, *, outside: str) -> str | None:
    found = [
        name
        for name, _ in model.named_modules()
        if name.rpartition(".")[2] in PROJECTORS and not _inside(name, outside)
    ]
    return min(found, key=lambda name: name.count("."), default=None)


def _inside(name: str, root: str) -> bool:
    return name == root or name.startswith(root + ".")


def _outline(model: PreTrainedModel) -> str:
    return ", ".join(name for name, _ in model.named_modules() if name and name.count(".") < 2)
