"""An audit from paths to a signed folder: what the command line and the desk both do.

The folder appears at once or not at all: everything that can be wrong with the input is found
before the model is loaded, and files are written beside and moved when all is there.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from excise.erasure.audit import audit
from excise.erasure.evidence import sign_audit
from excise.erasure.plan import plan
from excise.erasure.side import Progress
from excise.evaluate.attacks.run import plan as attacks
from excise.evaluate.gate import Gate
from excise.records.data import Data
from excise.records.errors import InputError
from excise.records.pseudonym import pseudonym
from excise.records.reading import read
from excise.records.writing import new_folder, write_json
from excise.vlm.load import VLM, load
from excise.weights.run import Run

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Page = Callable[[Mapping[str, Any], Path], Path]
"""Draws the page of an audit to a file; the room of pages stands above this one."""


@dataclass(frozen=True)
class Wanted:
    """One audit, as paths; see `excise audit`."""

    data: Path
    out: Path
    model: str | None = None
    run: Path | None = None
    before: str | None = None
    reference: str | None = None
    gate: Path | None = None
    preset: str = "standard"
    only: Sequence[str] | None = None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    general: Sequence[Path] = ()
    key: Path | None = None
    people: Path | None = None
    seed: int = 0
    loading: Mapping[str, Any] = field(default_factory=dict)


def conduct(wanted: Wanted, *, page: Page, progress: Progress | None = None) -> dict[str, Any]:
    """Audit, and leave `audit.json`, `report.html` and `evidence.json` in `wanted.out`.

    Returns:
        The audit.

    Raises:
        InputError: see `audit`; the folder exists and is not empty; the key is no key.
    """
    from excise.erasure.signing import own_key_file, signing_key

    if wanted.out.is_dir() and any(wanted.out.iterdir()):
        raise InputError(f"{wanted.out}: exists and is not empty, expected a new or empty folder")
    for what, folder in (("run", wanted.run), ("data", wanted.data)):
        if folder is not None and wanted.out.resolve().is_relative_to(Path(folder).resolve()):
            raise InputError(f"{wanted.out}: is inside the {what} folder, expected another place")
    data = read(wanted.data)
    plan(data, wanted.preset, wanted.seed)
    attacks(wanted.preset, only=wanted.only, options=wanted.options)
    gate = Gate.default() if wanted.gate is None else Gate.read(wanted.gate)
    run = None if wanted.run is None else Run.load(wanted.run)
    general = _named(wanted.general)
    source = _base(wanted.model, run)
    there = wanted.key is not None or own_key_file().exists()
    key = signing_key(wanted.key) if there else None
    vlm = load(source, **wanted.loading)
    key = key or signing_key()  # made only when the input is right
    if run is not None:
        run.require_hash(vlm.weights_hash, vlm.source)
    before = _loaded(wanted.before, vlm, wanted)
    reference = _loaded(wanted.reference, vlm, wanted)
    salt = secrets.token_hex(16)
    result = audit(
        vlm,
        data,
        run=run,
        before=before,
        reference=reference,
        gate=gate,
        preset=wanted.preset,
        only=wanted.only,
        options=wanted.options,
        general=general,
        seed=wanted.seed,
        salt=salt,
        progress=progress,
    )
    publish(
        result,
        wanted.out,
        data=data,
        key=key,
        page=page,
        run=None if run is None else run.folder,
        export=Path(vlm.source) if result["export"] else None,
    )
    if wanted.people is not None:
        names = {pseudonym(who, salt): who for who in data.subjects("forget")}
        write_json(wanted.people, names)
        wanted.people.chmod(0o600)
    return result


def publish(
    result: Mapping[str, Any],
    out: Path,
    *,
    data: Data,
    key: Ed25519PrivateKey,
    page: Page,
    run: Path | None = None,
    export: Path | None = None,
) -> dict[str, Any]:
    """Write an audit's folder, signed; returns the evidence.

    Raises:
        InputError: the folder is in use or cannot be written to, or something changed meanwhile.
    """
    with new_folder(out) as made:
        write_json(made / "audit.json", result)
        page(result, made / "report.html")
        return sign_audit(result, made, data=data, key=key, run=run, export=export)


def _base(model: str | None, run: Run | None) -> str:
    """What was named, or else the base that the run names, if it is here or on the hub."""
    if model is not None:
        return model
    if run is None:
        raise InputError("a run or --model is missing: expected what is to be audited")
    name = str(run.info["base"].get("id", ""))
    if not (Path(name) / "config.json").is_file() and name.count("/") != 1:
        raise InputError(f'--model is missing: the base "{name}" of {run.folder} is no folder here')
    return name


def _named(folders: Sequence[Path]) -> dict[str, Data]:
    named: dict[str, Data] = {}
    for folder in folders:
        if folder.name in named:
            raise InputError(f"--general {folder}: a set of that name is given already")
        named[folder.name] = read(folder)
    return named


def _loaded(source: str | None, like: VLM, wanted: Wanted) -> VLM | None:
    if source is None:
        return None
    other = load(source, **wanted.loading)
    if type(other.model) is not type(like.model):
        raise InputError(
            f"{source}: is a {type(other.model).__name__}, expected a {type(like.model).__name__} "
            "as the audited model is"
        )
    return other
