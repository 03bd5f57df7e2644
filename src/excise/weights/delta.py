"""The low-rank change to one weight matrix, and reading a folder of them as PEFT wrote it.

PEFT can load an adapter whose keys match nothing and say no more than a warning. Here every tensor
of the file must be half of a pair that we understand, and every setting of the configuration that
would make `scale * B @ A` the wrong change is refused by its name.

Cost: the factors as stored, on the CPU. `dense()` builds one float32 matrix of the weight's shape;
`norm()` needs only r x r products.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from excise.records.errors import InputError
from excise.weights.json_file import read_object
from excise.weights.norms import factor_norm

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

# Settings under which the stored pair alone is not the whole change to a Linear weight.
_REFUSED = {
    "use_dora": "DoRA",
    "use_qalora": "QA-LoRA",
    "use_bdlora": "block-diagonal LoRA",
    "kasa_config": "KaSA",
    "arrow_config": "Arrow routing",
    "monteclora_config": "MonteCLoRA",
    "alora_invocation_tokens": "activated LoRA",
    "lora_bias": "bias adapters",
    "modules_to_save": "fully trained modules",
    "trainable_token_indices": "trained token embeddings",
    "target_parameters": "adapters on bare parameters",
    "layer_replication": "replicated layers",
    "fan_in_fan_out": "transposed weights",
}
# Initialisations that leave the base weight as it is; PiSSA, OLoRA, LoftQ and others rewrite it.
_PLAIN_STARTS = (True, False, "gaussian", "orthogonal", "eva")
_KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<half>[AB])\.weight")


@dataclass(frozen=True, eq=False)
class LowRank:
    """The change `scale * b @ a`; b is (out, r), a is (r, in)."""

    b: Tensor
    a: Tensor
    scale: float

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in), the shape of the weight that it changes."""
        return self.b.shape[0], self.a.shape[1]

    def to(self, device: torch.device | str) -> LowRank:
        """The same change with its factors on another device."""
        return LowRank(self.b.to(device), self.a.to(device), self.scale)

    def negated(self) -> LowRank:
        """The opposite change."""
        return LowRank(self.b, self.a, -self.scale)

    def dense(self) -> Tensor:
        """The change as a new float32 matrix (out, in)."""
        return (self.b.float() @ self.a.float()).mul_(self.scale)

    def norm(self) -> float:
        """Frobenius norm without the dense product: `|scale| * sqrt(tr((BᵀB)(AAᵀ)))`."""
        return factor_norm(self)


def read_adapter(folder: str | Path) -> dict[str, LowRank]:
    """The changes in a PEFT LoRA folder, by the exact name of the base model's module.

    The scale is `alpha / r`, or `alpha / sqrt(r)` with rsLoRA; `rank_pattern` and `alpha_pattern`
    are honoured as PEFT does.

    Raises:
        InputError: a file is missing or damaged; the adapter is of a kind whose change is not
            `scale * B @ A` on a Linear weight (the kind is named); a key is unknown or has no
            partner; ranks disagree with the configuration; a factor is not finite; no key at all.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such adapter folder")
    config = read_object(folder / CONFIG)
    _refuse_other_kinds(folder / CONFIG, config)
    path = folder / WEIGHTS
    halves: dict[str, dict[str, Tensor]] = {}
    for key, tensor in load_tensors(path).items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise InputError(f"{path}: {key} is {_describe(key)}; expected lora_A and lora_B only")
        halves.setdefault(match["module"], {})[match["half"]] = tensor
    if not halves:
        raise InputError(f"{path}: holds no adapter weights")
    return {module: _pair(path, config, module, pair) for module, pair in sorted(halves.items())}


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a safetensors file; InputError if it is missing or damaged."""
    if not path.is_file():
        raise InputError(f"{path}: no such file (changes are read from safetensors only)")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        reason = (str(error).splitlines() or ["unknown"])[0]
        raise InputError(f"{path}: not a readable safetensors file ({reason})") from None


def _refuse_other_kinds(path: Path, config: Mapping[str, object]) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise InputError(f"{path}: peft_type is {kind!r}; expected 'LORA'")
    for field, name in _REFUSED.items():
        if config.get(field):
            raise InputError(f"{path}: {field}: {name} cannot be edited as a low-rank change")
    if config.get("bias", "none") != "none":
        raise InputError(f"{path}: bias: bias adapters cannot be edited; expected 'none'")
    start = config.get("init_lora_weights", True)
    if start not in _PLAIN_STARTS:
        raise InputError(f"{path}: init_lora_weights: {start!r} rewrites the base weights")


def _describe(key: str) -> str:
    if "lora_magnitude_vector" in key:
        return "a DoRA magnitude"
    if "lora_embedding" in key:
        return "an embedding adapter"
    if key.endswith(".bias"):
        return "a bias"
    if ".lora_" in key:
        return "an adapter weight of another layout"
    return "a fully trained weight (modules_to_save)"


def _pair(
    path: Path, config: Mapping[str, object], module: str, pair: Mapping[str, Tensor]
) -> LowRank:
    for half in "AB":
        if half not in pair:
            raise InputError(f"{path}: {module}: lora_{half} is missing")
        factor = pair[half]
        if factor.ndim != 2 or not factor.is_floating_point():
            raise InputError(f"{path}: {module}: lora_{half} is not a matrix of floats")
        if not torch.isfinite(factor).all():
            raise InputError(f"{path}: {module}: lora_{half} holds NaN or infinite values")
    a, b = pair["A"], pair["B"]
    rank = _setting(path.with_name(CONFIG), config, module, "r", "rank_pattern")
    alpha = _setting(path.with_name(CONFIG), config, module, "lora_alpha", "alpha_pattern")
    # A rank other than the configured one would silently give another scale.
    if a.shape[0] != rank or b.shape[1] != rank:
        found = f"lora_A {tuple(a.shape)} and lora_B {tuple(b.shape)}"
        raise InputError(f"{path}: {module}: {found} do not have the configured rank {rank:g}")
    return LowRank(b, a, alpha / (math.sqrt(rank) if config.get("use_rslora") else rank))


def _setting(
    path: Path, config: Mapping[str, object], module: str, field: str, pattern_field: str
) -> float:
    """The rank or alpha of one module: of the first pattern that fits, else the default."""
    value, where = config.get(field), field
    patterns = config.get(pattern_field) or {}
    if not isinstance(patterns, dict):
        raise InputError(f"{path}: {pattern_field}: expected an object")
    for pattern, special in patterns.items():
        try:
            match = re.match(rf"(.*\.)?({pattern})$", module)
        except re.error:
            raise InputError(f"{path}: {pattern_field}: {pattern!r} is no pattern") from None
        if match:
            value, where = special, pattern_field
            break
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{path}: {where}: {value!r} for {module}; expected a number")
    if field == "r" and (value < 1 or value != int(value)):
        raise InputError(f"{path}: {where}: {value!r} for {module}; expected a whole number >= 1")
    return value
