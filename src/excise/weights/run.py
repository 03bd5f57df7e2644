"""A run: the folder that one act of forgetting made, put onto a model and taken off again.

A run is applied to the very weights that it was made for, or not at all: the hash of the base, the
name and the shape of every touched module are checked before the first weight changes. Taking it
off restores each weight bit for bit, and so does any exception on the way.

The weights come from the same engine as those of an export (`tiles.edit_weight`), so a model with
a run on it and the run's merged export are equal bit by bit.

Cost of `apply`: the originals of the touched weights on the CPU for as long as the run is applied,
and a few tiles of the edit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from excise.records.errors import InputError
from excise.weights import energy, inplace
from excise.weights.changes import require_files
from excise.weights.edit import EditSpec
from excise.weights.json_file import read_object
from excise.weights.products import Adapters, Device, Dial, Source
from excise.weights.run_base import refuse_quantised
from excise.weights.sculpt import Criterion
from excise.weights.tiles import edit_weight

if TYPE_CHECKING:
    from excise.vlm.load import VLM

SCHEMA = "excise.run/1"

# By model and not by run, so that a run loaded anew can still take itself off.
_originals: WeakKeyDictionary[nn.Module, dict[str, Tensor]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Run:
    """A finished run folder: `info` is run.json, `edit` is edit.json (or another dial)."""

    folder: Path
    info: Mapping[str, Any]
    edit: EditSpec
    held: Dial | None = field(default=None, repr=False, compare=False)

    @classmethod
    def load(cls, folder: str | Path) -> Run:
        """Read run.json and edit.json and see that the changes they name are there.

        Raises:
            InputError: the folder or a file is missing, broken or of another schema.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise InputError(f"{folder}: no such run folder")
        info = read_object(folder / "run.json")
        if info.get("schema") != SCHEMA:
            raise InputError(f"{folder / 'run.json'}: schema: expected {SCHEMA!r}")
        _base_hash(folder, info)
        run = cls(folder, info, EditSpec.read(folder / "edit.json"))
        for name in run.adapters:
            require_files(folder / name)
        return run

    @property
    def id(self) -> str:
        """Method and a short hash of run.json and the dial; it holds no path and no name."""
        text = json.dumps([dict(self.info), self.edit.as_json()], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        return f"{self.info.get('method', 'run')}-{digest}"

    @property
    def adapters(self) -> list[str]:
        """The adapter folders that the edit uses, branches first."""
        names = [branch.adapter for branch in self.edit.branches]
        return names if self.edit.anchor is None else [*names, self.edit.anchor]

    @property
    def base_hash(self) -> str:
        """Weights hash of the model that the run was made for."""
        return _base_hash(self.folder, self.info)

    def turned(
        self,
        k: float | Mapping[str, float] | None = None,
        criterion: Criterion | None = None,
        strength: float | None = None,
    ) -> Run:
        """The same adapters under another dial; nothing is written until `save`."""
        return replace(self, edit=self.edit.turned(k, criterion, strength))

    def dial(self, device: Device = "cpu") -> Run:
        """This run with its adapters read once, for one k after another (see `Dial`)."""
        return replace(self, held=Dial(self.source(), device))

    def save(self) -> None:
        """Write the dial to the run's edit.json."""
        self.edit.write(self.folder / "edit.json")

    def source(self) -> Source:
        """The changes that the edit combines: the held products, or the adapters from disk."""
        if self.held is not None:
            return self.held
        names = [branch.adapter for branch in self.edit.branches]
        return Adapters(self.folder, names, self.edit.anchor)

    def apply(self, vlm: VLM, *, keep: bool = True) -> VLM:
        """Put the edit onto the model's weights, in place; returns the same `vlm`.

        Args:
            keep: hold the originals, so that the run can be removed. Without them nothing is held
                beside the model, which is then fit for one use: an exception half-way leaves it
                half edited, and it says so in `vlm.applied`.

        Raises:
            InputError: a run is applied already, the model is another one than the run was made
                for or is quantised, or a module or adapter does not fit. The weights are then as
                they were.
        """
        if vlm.applied is not None:
            raise InputError(f"run {vlm.applied} is applied to this model already; remove it first")
        source = self._fitting(vlm)
        weights = inplace.targets(vlm.model, source.shapes)
        if not keep:
            vlm.applied = self.id
            for module, weight in weights.items():
                edit_weight(weight, source, module, self.edit, out=weight)
            return vlm
        originals: dict[str, Tensor] = {}
        try:
            for module, weight in weights.items():
                # Before the first change, so that the caller can restore after one half-way.
                originals[module] = weight.detach().to("cpu", copy=True)
                edit_weight(weight, source, module, self.edit, out=weight)
            _originals[vlm.model] = originals
            vlm.applied = self.id
        except BaseException:
            inplace.restore(vlm.model, originals)
            _originals.pop(vlm.model, None)
            vlm.applied = None
            raise
        return vlm

    def remove(self, vlm: VLM) -> VLM:
        """Take the run off again, bit for bit; returns the same `vlm`.

        Raises:
            InputError: this run is not the one applied, or the weights cannot be restored exactly.
        """
        if vlm.applied != self.id:
            raise InputError(f"run {self.id} is not applied to this model; found {vlm.applied}")
        originals = _originals.get(vlm.model)
        if originals is None:
            raise InputError(
                f"run {self.id}: the original weights are not kept; load the model anew"
            )
        inplace.restore(vlm.model, originals)
        del _originals[vlm.model]
        vlm.applied = None
        return vlm

    @contextmanager
    def applied(self, vlm: VLM) -> Iterator[VLM]:
        """The model with the run on it, inside the `with` block only."""
        self.apply(vlm)
        try:
            yield vlm
        finally:
            self.remove(vlm)

    def energy_map(self, vlm: VLM) -> dict[str, Any]:
        """Where the forgetting went, layers by matrices; see `energy.energy_map`."""
        source = self._fitting(vlm)
        return energy.energy_map(source, self.edit, _count(vlm))

    def require_hash(self, weights_hash: str, source: str | Path) -> None:
        """See that these are the weights that the run was made for.

        Args:
            source: where they are from, to say so if they are an export of this very run.

        Raises:
            InputError: they are others; both hashes are named.
        """
        if weights_hash == self.base_hash:
            return
        manifest = Path(source) / "export.json"
        if manifest.is_file() and read_object(manifest).get("run") == self.id:
            raise InputError(f"{source}: is an export of run {self.id}; it is on these weights")
        wanted, found = self.base_hash[:12], weights_hash[:12]
        raise InputError(
            f"{self.folder}: made for a base model with weights {wanted}, this one has {found}"
        )

    def _fitting(self, vlm: VLM) -> Source:
        config = getattr(vlm.model, "config", None)
        if config is not None:
            refuse_quantised("the model", config)
        self.require_hash(vlm.weights_hash, getattr(vlm, "source", ""))
        source = self.source()
        inplace.targets(vlm.model, source.shapes)
        return source


def combine(run: Run, vlm: VLM) -> dict[str, int | float]:
    """Count what applying the run changes, without changing anything.

    Returns:
        `modules` (matched in the model), `modules_changed` (with any entry that is not zero),
        `entries` (of the matched matrices), `entries_changed`, and `share_touched`: entries changed
        over all weights of the model.

    Raises:
        InputError: nothing matched, or the run does not fit the model.
    """
    found = [footprint for _, footprint in energy.footprints(run._fitting(vlm), run.edit)]
    whole = sum(found, energy.Footprint())
    return {
        "modules": len(found),
        "modules_changed": sum(footprint.touched > 0 for footprint in found),
        "entries": whole.entries,
        "entries_changed": whole.touched,
        "share_touched": whole.touched / _count(vlm),
    }


def _base_hash(folder: Path, info: Mapping[str, Any]) -> str:
    base = info.get("base")
    found = base.get("weights_hash") if isinstance(base, dict) else None
    if not isinstance(found, str) or not found:
        raise InputError(f"{folder / 'run.json'}: base.weights_hash is missing")
    return found


def _count(vlm: VLM) -> int:
    return sum(parameter.numel() for parameter in vlm.model.parameters())
