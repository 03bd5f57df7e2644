"""What a release is made of: one run with the adapters of all batches, and whose each of them is.

A batch's adapter is trained with those of all earlier batches on the model (`excise forget
--upon`), so the release's run holds them all: the batch's own first, the earlier ones fixed at
their strengths. A `Piece` says for which requests an adapter was trained.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from excise.desk.ledger import Ledger, Release
from excise.desk.release.manifest import FILE, RUN, file_hash, read_manifest
from excise.erasure.folder_hash import folder_hash
from excise.records.errors import InputError
from excise.records.writing import new_folder
from excise.vlm.weights_hash import hash_weights, weight_files
from excise.weights.delta import WEIGHTS
from excise.weights.edit import EditSpec
from excise.weights.export import Kind, export
from excise.weights.run import Run


@dataclass(frozen=True)
class Piece:
    """One batch's adapters in a run, and the requests that they were trained for."""

    requests: tuple[str, ...]
    adapters: tuple[str, ...]


@dataclass(frozen=True)
class Built:
    """A run with everything that was asked for so far, and its pieces, newest first."""

    run: Run
    pieces: tuple[Piece, ...]

    @property
    def requests(self) -> list[str]:
        """Everybody who is covered."""
        return [id for piece in self.pieces for id in piece.requests]

    def about(self) -> dict[str, dict[str, Any]]:
        """Each request as it stands in the manifest."""
        weights = {branch.adapter: branch.weight for branch in self.run.edit.branches}
        return {
            id: {
                "adapters": list(piece.adapters),
                "strength": round(abs(weights[piece.adapters[0]]), 6),
            }
            for piece in self.pieces
            for id in piece.requests
        }

    def without(self, requests: Collection[str], out: Path) -> Built | None:
        """What is left, in a folder of its own, once those requests are to be carried out anew.

        An adapter that was trained for others too stays. None if nothing is left.
        """
        left = tuple(piece for piece in self.pieces if not {*piece.requests} <= {*requests})
        kept = {name for piece in left for name in piece.adapters}
        if not kept:
            return None
        if len(left) == len(self.pieces):
            return self
        own = [branch for branch in self.run.edit.branches if branch.adapter in kept]
        if all(branch.fixed for branch in own):
            own[0] = own[0].model_copy(update={"fixed": False})
        edit = self.run.edit.model_copy(update={"branches": tuple(own)})
        return Built(settled(replace(self.run, edit=edit), out), left)


def built_of(ledger: Ledger, release: Release | None) -> Built | None:
    """What a release is made of; None of none.

    Raises:
        InputError: the manifest or the run was changed, or is missing.
    """
    if release is None:
        return None
    home = ledger.settings.folder / release.folder
    if file_hash(home / FILE) != release.manifest_hash:
        raise InputError(f"{release.folder}/{FILE}: was changed since {release.id} was made")
    manifest = read_manifest(home)
    run = Run.load(home / RUN)
    if run.id != manifest["run"]["id"] or folder_hash(run.folder) != manifest["run"]["hash"]:
        raise InputError(f"{release.folder}/{RUN}: was changed since {release.id} was made")
    found: dict[tuple[str, ...], list[str]] = {}
    for id, about in manifest["requests"].items():
        found.setdefault(tuple(about["adapters"]), []).append(id)
    order = [branch.adapter for branch in run.edit.branches]
    pieces = [Piece(tuple(ids), adapters) for adapters, ids in found.items()]
    return Built(run, tuple(sorted(pieces, key=lambda piece: order.index(piece.adapters[0]))))


def built_upon(earlier: Built | None, run: Run, requests: Collection[str]) -> Built:
    """The pieces of a run that was trained for `requests` upon an earlier one, or upon none."""
    own = tuple(branch.adapter for branch in run.edit.branches if not branch.fixed)
    pieces = [Piece(tuple(requests), own)]
    if earlier is not None:
        fixed = [branch.adapter for branch in run.edit.branches if branch.fixed]
        below = [branch.adapter for branch in earlier.run.edit.branches]
        now = dict(zip(below, fixed, strict=True))  # `weights.stack.upon` keeps their order
        for piece in earlier.pieces:
            others = tuple(id for id in piece.requests if id not in requests)
            pieces.append(Piece(others, tuple(now[name] for name in piece.adapters)))
    return Built(run, tuple(pieces))


def scaled(run: Run, factors: Mapping[str, float]) -> Run:
    """The run with the weight of each named adapter times its factor; nothing is written."""
    turned = [
        branch.model_copy(update={"weight": branch.weight * factors.get(branch.adapter, 1.0)})
        for branch in run.edit.branches
    ]
    edit = EditSpec(criterion="none", combine="sum", branches=tuple(turned))
    return replace(run, edit=edit)


def own_scaled(run: Run, factor: float) -> Run:
    """The run with its own adapters' dial turned by a factor, the earlier ones' as they were."""
    own = [branch.adapter for branch in run.edit.branches if not branch.fixed]
    return run if factor == 1 else scaled(run, dict.fromkeys(own, factor))


def settled(run: Run, out: Path) -> Run:
    """A copy of the run at its dial, without adapters that it does not use, in place of what an
    interruption left in `out`."""
    shutil.rmtree(out, ignore_errors=True)
    with new_folder(out) as made:
        for name in run.adapters:
            shutil.copytree(run.folder / name, made / name)
        shutil.copy(run.folder / "run.json", made / "run.json")
        run.edit.write(made / "edit.json")
    return Run.load(out)


def exported(run: Run, source: str, place: Path, kind: Kind) -> str:
    """Export onto the base into a new folder; the hash of its weights.

    Raises:
        InputError: the base is another one, the disk is full. VerificationFailed.
    """
    export(run, source, place, as_=kind)
    files = weight_files(str(place)) if kind == "merged" else [place / WEIGHTS]
    return hash_weights(files)
