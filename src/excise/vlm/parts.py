"""The parts of a vision-language model under their exact module names.

A suffix such as `q_proj` also occurs in the vision tower, so adapters go to full names inside one
named part, or nowhere. transformers is asked first (`get_decoder`, `get_encoder`,
`get_output_embeddings`); where it does not know, the part is the module built from the model's text
or vision configuration; and whoever loads the model may name any part by hand. The projector, of
which transformers has no notion, goes by its customary names, else it is what lies beside the
tower and the language model. Walks the module tree a few times; no weight is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from torch import nn
from transformers import PreTrainedModel

from excise.records.errors import InputError, did_you_mean

PartName = Literal["language_model", "vision_tower", "projector"]
PART_NAMES: tuple[PartName, ...] = get_args(PartName)

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


def find_parts(model: PreTrainedModel, given: Mapping[str, str] | None = None) -> Parts:
    """Name the vision tower, projector, language model and head.

    Args:
        given: parts that are named by hand, for example `{"vision_tower": "model.eye"}`.

    Raises:
        InputError: no language model or no vision tower, or a part by hand that does not exist;
            the modules that do are listed.
    """
    names = {id(module): name for name, module in model.named_modules(remove_duplicate=True)}
    by_hand = _checked(model, given or {})
    asked: Any = model
    language_model = by_hand.get("language_model") or _part(
        model, names, "language_model", asked.get_decoder, model.config.get_text_config()
    )
    vision_tower = by_hand.get("vision_tower") or _part(
        model,
        names,
        "vision_tower",
        lambda: asked.get_encoder(modality="image"),
        getattr(model.config, "vision_config", None),
    )
    head = asked.get_output_embeddings()
    lm_head = names.get(id(head)) if head is not None else None
    projector = by_hand.get("projector")
    if projector is None:
        projector = _projector(model, language_model, vision_tower, lm_head)
    return Parts(vision_tower, projector, language_model, lm_head)


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
    known = (parts.vision_tower, parts.projector, parts.language_model)
    others = [name for name in known if name and name != root and _inside(name, root)]
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


def part_sizes(model: PreTrainedModel, parts: Parts) -> dict[str, int]:
    """Parameters of each part; those of a part inside another are counted with the inner one."""
    roots = {name: root for name in PART_NAMES if (root := getattr(parts, name)) is not None}
    sizes = dict.fromkeys([*roots, "elsewhere"], 0)
    for parameter_name, parameter in model.named_parameters():
        inside = [name for name, root in roots.items() if _inside(parameter_name, root)]
        owner = max(inside, key=lambda name: len(roots[name]), default="elsewhere")
        packed = getattr(parameter, "quant_state", None)  # weights in 4 bits, two to a byte
        sizes[owner] += parameter.numel() if packed is None else packed.shape.numel()
    return sizes


def _checked(model: PreTrainedModel, given: Mapping[str, str]) -> Mapping[str, str]:
    modules = {name for name, _ in model.named_modules() if name}
    for part, name in given.items():
        if part not in PART_NAMES:
            raise InputError(f'unknown part "{part}", expected one of {", ".join(PART_NAMES)}')
        if name not in modules:
            raise InputError(
                f'{type(model).__name__}: {part}: there is no module "{name}"'
                f"{did_you_mean(name, modules)}; modules are {_outline(model)}"
            )
    return given


def _part(
    model: PreTrainedModel,
    names: Mapping[int, str],
    part: PartName,
    ask: Callable[[], nn.Module | None],
    config: object,
) -> str:
    """What transformers answers, else the outermost model that is built from `config`."""
    whole = {id(model), id(model.base_model)}
    try:
        answer = ask()
    except (AttributeError, NotImplementedError, TypeError):  # classes with a method of their own
        answer = None
    if answer is not None and id(answer) in names and id(answer) not in whole:
        return names[id(answer)]
    if config is not None and config is not model.config:
        for name, module in model.named_modules():
            if not isinstance(module, PreTrainedModel) or id(module) in whole:
                continue
            if type(module.config) is type(config):
                return str(name)
    raise InputError(
        f"{type(model).__name__}: no {part.replace('_', ' ')} found; name it with "
        f"--part {part}=MODULE (parts= of load), one of {_outline(model)}"
    )


def _projector(
    model: PreTrainedModel, language_model: str, vision_tower: str, lm_head: str | None
) -> str | None:
    found: list[str] = [
        name
        for name, _ in model.named_modules()
        if name.rpartition(".")[2] in PROJECTORS and not _inside(name, language_model)
    ]
    if found:
        return min(found, key=lambda name: name.count("."))
    beside = language_model.rpartition(".")[0]
    left = [
        f"{beside}.{name}" if beside else name
        for name, module in model.get_submodule(beside).named_children()
        if any(True for _ in module.parameters()) and not name.startswith("audio")
    ]
    taken = (language_model, vision_tower, lm_head)
    left = [name for name in left if not any(part and _inside(part, name) for part in taken)]
    return left[0] if len(left) == 1 else None


def _inside(name: str, root: str) -> bool:
    return name == root or name.startswith(root + ".")


def _outline(model: PreTrainedModel) -> str:
    """The modules near the top, without the members of lists."""
    return ", ".join(
        name
        for name, module in model.named_modules()
        if name
        and name.count(".") < 3
        and not any(word.isdigit() for word in name.split("."))
        and not isinstance(module, nn.ModuleList)
        and any(True for _ in module.children())
    )
