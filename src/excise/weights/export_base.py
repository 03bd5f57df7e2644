"""The base model of an export: found, held against the run's hash, and laid out for editing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from excise.records.errors import InputError
from excise.vlm.load import VLM, load
from excise.vlm.weights_hash import hash_weights
from excise.weights.run import Run
from excise.weights.shards import DTYPES, Checkpoint
from excise.weights.shards_names import Names
from excise.weights.stream import Edited

_LOADED_AS = {"F32": "float32", "F64": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass
class Base:
    """A base model as it lies on disk."""

    source: str
    checkpoint: Checkpoint
    weights_hash: str | None = None
    """Known once it was computed."""

    @classmethod
    def find(cls, run: Run, model: VLM | str | Path | None) -> Base:
        """The given model, or the one that the run names.

        Raises:
            InputError: it is not here, or a shard is missing or damaged.
        """
        if isinstance(model, VLM):
            base = cls(model.source, Checkpoint.read(model.source))
            base.weights_hash = model.__dict__.get("weights_hash")
            return base
        if model is None:
            found = run.info.get("base")
            name = str(found.get("id", "")) if isinstance(found, dict) else ""
            if not (Path(name) / "config.json").is_file() and name.count("/") != 1:
                raise InputError(
                    f'--model is missing: the base "{name}" of {run.folder} is no folder here'
                )
            model = name
        return cls(str(model), Checkpoint.read(str(model)))

    def require_hash(self, run: Run) -> None:
        """See that these are the weights that the run was made for.

        Raises:
            InputError: they are others; both hashes are named.
        """
        if self.weights_hash is None:
            self.weights_hash = hash_weights(shard.path for shard in self.checkpoint.shards)
        run.require_hash(self.weights_hash, self.source)

    def edited(self, run: Run) -> Edited:
        """The checkpoint with the run on it; errors as for `Edited`."""
        names = Names(self.source, self.checkpoint.places)
        return Edited(self.checkpoint, names, run.source(), run.edit)

    def cast(self, run: Run, dtype: str) -> set[str]:
        """Names of touched weights that are not stored in the type they are loaded in."""
        pieces = self.edited(run).pieces
        stored = {key: entry.dtype for key, (_, entry) in self.checkpoint.places.items()}
        return {
            weight
            for piece in pieces
            for weight in piece.modules
            if any(_LOADED_AS[stored[key]] != dtype or stored[key] == "F64" for key in piece.keys)
        }

    def load(self, dtype: str) -> VLM:
        """The base in memory, its hash as it is known already."""
        vlm = load(self.source, dtype=dtype)
        if self.weights_hash is not None:
            vlm.__dict__["weights_hash"] = self.weights_hash
        return vlm

    def dtype(self, *, wide: bool) -> str:
        """The type to compare outputs in: float32 if `wide`, else that of most of the weights."""
        if wide:
            return "float32"
        sizes: Counter[str] = Counter()
        for shard in self.checkpoint.shards:
            for entry in shard.entries:
                sizes[entry.dtype] += entry.size if entry.dtype in DTYPES else 0
        return _LOADED_AS.get(sizes.most_common(1)[0][0], "float32")

    def memory(self, dtype: str, *, originals: bool) -> int:
        """Bytes that comparing outputs may need: the weights, twice if their originals are kept.

        A tenth on top for activations and probes.
        """
        width = 4 if dtype == "float32" else 2
        numbers = sum(
            entry.size // DTYPES[entry.dtype].itemsize
            for shard in self.checkpoint.shards
            for entry in shard.entries
            if entry.dtype in DTYPES
        )
        return int(numbers * width * (2.1 if originals else 1.1))
