"""What `excise inspect` says about a model: its parts, what would be adapted, the memory needed.

The memory is counted from shapes, not measured: the weights as loaded, and for a LoRA of the given
rank its float32 factors, their gradients and the two moments of Adam (16 bytes a parameter).
Activations come on top and depend on the pictures.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from excise.vlm.parts import linear_targets
from excise.vlm.sharing import sharing_obstacle

if TYPE_CHECKING:
    from torch import Tensor

    from excise.vlm.load import VLM

RANK = 16  # the paper's, and the default of `excise.training.fit.FitSettings`
_BYTES_A_TRAINED_PARAMETER = 16


def anatomy(vlm: VLM) -> list[tuple[str, str]]:
    """Rows of name and finding, in the order in which one would ask."""
    model, parts = vlm.model, vlm.parts
    targets = linear_targets(model, parts)
    by_name = Counter(name.rpartition(".")[2] for name in targets)
    adapter = sum(_lora_parameters(model.get_parameter(f"{name}.weight")) for name in targets)
    obstacle = sharing_obstacle(model)
    count = sum(p.numel() for p in model.parameters())
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return [
        ("class", type(model).__name__),
        ("parameters", f"{count:,} in {str(vlm.dtype).removeprefix('torch.')}"),
        ("vision tower", parts.vision_tower),
        ("projector", parts.projector or "none"),
        ("language model", parts.language_model),
        ("head", parts.lm_head or "none"),
        ("adapted layers", f"{len(targets)} linear layers of the language model"),
        ("of these", ", ".join(f"{n} {name}" for name, n in by_name.items())),
        ("training", f"not possible: {obstacle}" if obstacle else "possible, rows pack"),
        (f"LoRA of rank {RANK}", f"{adapter:,} parameters, {adapter / count:.1%} of the model"),
        ("memory, weights", _mebibytes(weights)),
        ("memory, training", f"{_mebibytes(adapter * _BYTES_A_TRAINED_PARAMETER)} and activations"),
        ("weights hash", vlm.weights_hash),
    ]


def _lora_parameters(weight: Tensor) -> int:
    rows, columns = weight.shape
    return RANK * (rows + columns)


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"
