"""A sparse change to weight matrices: some entries by their place, and the file that holds it.

Edits of single weights and of neurons are no low-rank products: as factors they would be as large
as the matrix. Here an entry costs 8 bytes (12 in matrices of 2**31 entries and more). In a run's
folder of the branch:

    sparse.json          schema, the base model's name, the shape of every touched matrix
    sparse.safetensors   `<module>.index`: flat places, row by row, rising; int32 or int64
                         `<module>.values`: what is added there, float32

Reading is as strict as that of adapters (`delta.py`): every tensor must be half of a pair, every
place must be inside its matrix and named once, every value must be finite.

Cost: what is stored, on the CPU. `dense()` builds one float32 matrix.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from excise.records.errors import InputError
from excise.records.writing import write_json
from excise.weights.delta import load_tensors
from excise.weights.json_file import read_object

SCHEMA = "excise.sparse/1"
CONFIG = "sparse.json"
WEIGHTS = "sparse.safetensors"


@dataclass(frozen=True, eq=False)
class Sparse:
    """The change that is `values` at the flat places `index` and zero elsewhere.

    `shape` is (out, in) of the weight; `index`, (n,), rises, each place once, and is int32 where
    that reaches all of the matrix, else int64; `values`, (n,), is float32.
    """

    shape: tuple[int, int]
    index: Tensor
    values: Tensor

    @classmethod
    def of(cls, change: Tensor) -> Sparse:
        """The entries of a dense change, (out, in), that are not zero, on the CPU."""
        flat = change.detach().reshape(-1)
        index = flat.nonzero().view(-1)
        rows, columns = change.shape
        return cls((rows, columns), compact(index, change.numel()).cpu(), flat[index].float().cpu())

    def to(self, device: torch.device | str) -> Sparse:
        """The same change on another device."""
        return Sparse(self.shape, self.index.to(device), self.values.to(device))

    def negated(self) -> Sparse:
        """The opposite change."""
        return Sparse(self.shape, self.index, -self.values)

    def dense(self) -> Tensor:
        """The change as a new float32 matrix (out, in)."""
        out = torch.zeros(self.shape, device=self.values.device)
        out.view(-1)[self.index.long()] = self.values
        return out

    def norm(self) -> float:
        """Frobenius norm, in float64: no square of a tiny entry is lost."""
        return float(torch.linalg.vector_norm(self.values, dtype=torch.float64))


def compact(index: Tensor, entries: int) -> Tensor:
    """Places in a matrix of so many entries, as int32 where that is wide enough."""
    return index.to(torch.int32 if entries <= 2**31 - 1 else torch.int64)


def read_sparse(folder: str | Path) -> dict[str, Sparse]:
    """The changes in a folder, by the exact name of the base model's module.

    Raises:
        InputError: a file is missing or damaged, of another schema, or says something that is no
            sparse change; the module is named.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of a sparse change")
    shapes = _shapes(folder / CONFIG)
    path = folder / WEIGHTS
    tensors = load_tensors(path)
    for key in tensors:
        module, _, part = key.rpartition(".")
        if part not in ("index", "values") or module not in shapes:
            raise InputError(f"{path}: {key} is neither index nor values of a module in {CONFIG}")
    return {module: _pair(path, module, shape, tensors) for module, shape in shapes.items()}


def write_sparse(folder: Path, changes: Mapping[str, Sparse], base: str) -> None:
    """Write changes into a folder, each file whole or not at all, the configuration last.

    Modules without an entry are left out.

    Args:
        base: name of the base model, without a path.

    Raises:
        InputError: no entry at all, a value is not finite, or the folder cannot be written to.
    """
    made = {module: change for module, change in sorted(changes.items()) if len(change.index)}
    if not made:
        raise InputError(f"{folder.name}: changes no entry of any weight")
    tensors = {}
    for module, change in made.items():
        if not torch.isfinite(change.values).all():
            raise InputError(f"{folder.name}: {module}: the change is not finite")
        tensors[f"{module}.index"] = change.index.cpu().contiguous()
        tensors[f"{module}.values"] = change.values.float().cpu().contiguous()
    part = folder / f".{WEIGHTS}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).unlink(missing_ok=True)  # of other weights than those to come
        save_file(tensors, part, metadata={"format": "pt"})
        os.replace(part, folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InputError(f"{folder}: cannot be written ({reason})") from None
    finally:
        with suppress(OSError):
            part.unlink()
    shapes = {module: list(change.shape) for module, change in made.items()}
    config = {"schema": SCHEMA, "base_model_name_or_path": base, "shapes": shapes}
    write_json(folder / CONFIG, config)


def _shapes(path: Path) -> dict[str, tuple[int, int]]:
    config = read_object(path)
    if config.get("schema") != SCHEMA:
        raise InputError(f"{path}: schema: expected {SCHEMA!r}")
    given = config.get("shapes")
    if not isinstance(given, dict) or not given:
        raise InputError(f"{path}: shapes: expected an object with a shape for every module")
    shapes: dict[str, tuple[int, int]] = {}
    for module, shape in sorted(given.items()):
        whole = isinstance(shape, list) and all(type(n) is int and n > 0 for n in shape)
        if not whole or len(shape) != 2:
            raise InputError(f"{path}: shapes: {module}: {json.dumps(shape)}; expected [out, in]")
        shapes[module] = (shape[0], shape[1])
    return shapes


def _pair(path: Path, module: str, shape: tuple[int, int], tensors: Mapping[str, Tensor]) -> Sparse:
    for part in ("index", "values"):
        if f"{module}.{part}" not in tensors:
            raise InputError(f"{path}: {module}: {part} is missing")
    index, values = tensors[f"{module}.index"], tensors[f"{module}.values"]
    if index.dtype not in (torch.int32, torch.int64) or index.ndim != 1:
        raise InputError(f"{path}: {module}: index is not a list of int32 or int64")
    if values.dtype != torch.float32 or values.shape != index.shape:
        found = f"{values.dtype} {tuple(values.shape)}"
        raise InputError(
            f"{path}: {module}: values are {found}; expected float32 {tuple(index.shape)}"
        )
    if not torch.isfinite(values).all():
        raise InputError(f"{path}: {module}: values hold NaN or infinite values")
    if len(index) and (int(index.min()) < 0 or int(index.max()) >= shape[0] * shape[1]):
        raise InputError(f"{path}: {module}: index points outside of a matrix of {shape}")
    if bool((index[1:] <= index[:-1]).any()):
        raise InputError(f"{path}: {module}: index does not rise; expected each place once, sorted")
    return Sparse(shape, compact(index, shape[0] * shape[1]), values)
