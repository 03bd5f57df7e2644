"""What a release is made of: the runs of its requests, stacked on the base, and exported."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from excise.desk.ledger import Ledger, Release
from excise.desk.release.manifest import FILE, file_hash, read_manifest
from excise.erasure.folder_hash import folder_hash
from excise.records.errors import InputError
from excise.vlm.weights_hash import hash_weights, weight_files
from excise.weights.delta import WEIGHTS
from excise.weights.export import Kind, export
from excise.weights.run import Run
from excise.weights.stack import stack


@dataclass(frozen=True)
class Piece:
    """One request's part of a release: its run, at the strength at which it is applied."""

    request: str
    run: Run
    place: str
    """The run's folder, relative to the desk's."""

    @property
    def strength(self) -> float:
        return strength_of(self.run)

    def about(self) -> dict[str, Any]:
        """As it stands in the manifest."""
        return {
            "run": self.run.id,
            "folder": self.place,
            "strength": self.strength,
            "hash": folder_hash(self.run.folder),
        }


def pieces_of(ledger: Ledger, release: Release | None) -> list[Piece]:
    """The pieces of a release; none of none.

    Raises:
        InputError: the manifest or a run that it names is missing or was changed.
    """
    if release is None:
        return []
    home = ledger.settings.folder
    if file_hash(home / release.folder / FILE) != release.manifest_hash:
        raise InputError(f"{release.folder}/{FILE}: was changed since {release.id} was made")
    found = []
    for request, about in read_manifest(home / release.folder)["requests"].items():
        place = about["folder"]
        run = at_strength(Run.load(home / place), about["strength"])
        if run.id != about["run"] or folder_hash(run.folder) != about["hash"]:
            raise InputError(f"{place}: was changed since {release.id} was made of it")
        found.append(Piece(request, run, place))
    return found


def stacked(pieces: Sequence[Piece], out: Path) -> Run:
    """All pieces as one run, in place of what an interruption left there."""
    shutil.rmtree(out, ignore_errors=True)
    return stack([piece.run for piece in pieces], out)


def exported(run: Run, source: str, place: Path, kind: Kind) -> str:
    """Export onto the base into a new folder; the hash of its weights.

    Raises:
        InputError: the base is another one, the disk is full. VerificationFailed.
    """
    export(run, source, place, as_=kind)
    files = weight_files(str(place)) if kind == "merged" else [place / WEIGHTS]
    return hash_weights(files)


def strength_of(run: Run) -> float:
    """The weight at which a run's adapters are applied; 1 is as they were trained."""
    return abs(run.edit.branches[0].weight)


def at_strength(run: Run, strength: float) -> Run:
    """The run at that strength; the run itself if it is there already."""
    return run if strength_of(run) == strength else run.turned(strength=strength)
