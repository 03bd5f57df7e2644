"""What `excise inspect` says about a model: its parts, what would be adapted, the memory needed.

Memory is counted from shapes, not measured. Forgetting needs

    weights        what is loaded: every parameter times its bytes
    + adapter      16 bytes times r (in + out) for each adapted matrix: a float32 LoRA of rank r,
                   its gradient and Adam's two moments
    + activations  tokens of the batch times what a layer keeps of one, times the layers:
                   4 bytes of each adapted layer's input (PEFT's float32 copy), 3 values of the
                   gated width, 2 of the hidden width and its norms in float32, queries, keys,
                   values and the attention's output; with gradient checkpointing one layer of
                   that, and of every layer its input (`vlm/memory.py`)

The pictures' own tokens are part of a row, so the activations are given for a row of 1,024 tokens:
they grow in proportion. Whether rows pack is tried on the model (`vlm/sharing.py`), which takes a
few forward passes.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from excise.vlm.memory import activations, gib, weight_bytes
from excise.vlm.parts import linear_targets, part_sizes
from excise.vlm.sharing import sharing_obstacle

if TYPE_CHECKING:
    from torch import nn

    from excise.vlm.load import VLM

RANK = 16  # the paper's, and the default of `excise.training.settings.FitSettings`
ROW = 1024  # tokens: a picture of 576 and a handful of questions
_BYTES_A_TRAINED_PARAMETER = 16


def anatomy(vlm: VLM) -> list[tuple[str, str]]:
    """Rows of name and finding, in the order in which one would ask."""
    model, parts = vlm.model, vlm.parts
    targets = linear_targets(model, parts)
    by_name = Counter(name.rpartition(".")[2] for name in targets)
    adapter = sum(_lora_parameters(model.get_submodule(name)) for name in targets)
    sizes = part_sizes(model, parts)
    count = sum(sizes.values())
    weights = weight_bytes(model.parameters())
    trained = adapter * _BYTES_A_TRAINED_PARAMETER
    kept = activations(model, targets)
    found = [
        ("class", type(model).__name__),
        ("parameters", f"{count:,} in {str(vlm.dtype).removeprefix('torch.')}"),
    ]
    for part in ("vision_tower", "projector", "language_model"):  # as a picture goes
        name = getattr(parts, part)
        size = f"{name}: {sizes[part]:,} parameters" if name else "none found"
        found.append((part.replace("_", " "), size))
    obstacle = sharing_obstacle(model, vlm.processor)
    return [
        *found,
        ("head and others", f"{parts.lm_head or 'no head'}: {sizes['elsewhere']:,} parameters"),
        ("adapted layers", f"{len(targets)} linear layers of the language model"),
        ("of these", ", ".join(f"{n} {name}" for name, n in by_name.items())),
        *_sharing(obstacle),
        (f"LoRA of rank {RANK}", f"{adapter:,} parameters, {adapter / count:.1%} of the model"),
        ("memory, weights", gib(weights)),
        ("memory, adapter", f"{gib(trained)} with gradient and optimiser"),
        (
            f"memory, a row of {ROW:,}",
            f"about {gib(ROW * kept.plain)}, with gradient checkpointing "
            f"{gib(ROW * kept.checkpointed)}",
        ),
        ("memory, in all", f"about {gib(weights + trained + ROW * kept.plain)} at batch=1"),
        ("weights hash", vlm.weights_hash),
    ]


def _sharing(obstacle: str | None) -> list[tuple[str, str]]:
    """Whether the questions on a picture share its tokens, in training and when answering."""
    if obstacle is None:
        return [
            ("training", "rows pack: a picture once, then its questions"),
            ("answering", "questions share the tokens before them"),
        ]
    return [
        ("training", f"one question a row: {obstacle}"),
        ("answering", f"each question by itself: {obstacle}"),
    ]


def _lora_parameters(layer: nn.Module) -> int:
    """Both factors; the shape is the layer's, since weights in 4 bits have another one."""
    sizes: list[int] = [getattr(layer, side) for side in ("in_features", "out_features")]
    return RANK * sum(sizes)
