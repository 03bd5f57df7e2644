"""The manifest of a release: what it is made of, whom it covers, what it puts out of date.

    FOLDER/
      release.json     this manifest (schema `excise.release/1`)
      MODEL_CARD.md    a section for the served model's card
      model/           a merged checkpoint, or a LoRA in PEFT's format
      run/             the run with the adapters of all batches: what was audited and exported
      answers.json     public questions, answered before and after
      evidence/        audit.json, report.html, evidence.json

Requests are named by their ids, people not at all. The folder appears whole or not at all; `model/`
and `run/` go when the release is out of date (`tidying.py`), the rest stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from excise.erasure.folder_hash import folder_hash
from excise.records.errors import InputError
from excise.records.writing import write_json, write_text
from excise.weights.json_file import read_object

SCHEMA = "excise.release/1"
FILE = "release.json"
CARD = "MODEL_CARD.md"
MODEL, RUN, EVIDENCE = "model", "run", "evidence"

EVERYWHERE = (
    "LoRA adapters and merged checkpoints of earlier releases, wherever they were copied to",
    "quantised copies (GGUF, AWQ, GPTQ, 8 and 4 bit) made of earlier releases or of the base",
    "prefix and KV caches of running servers, and caches of answers",
    "models trained further, merged or distilled from the base or from earlier releases",
)
"""What no tool can find by itself, and what whoever serves the model has to see to."""


def write_manifest(
    folder: Path,
    *,
    model: str,
    kind: str,
    base: Mapping[str, str],
    weights_hash: str,
    run: str,
    requests: Mapping[str, Mapping[str, Any]],
    figures: Mapping[str, float],
    earlier: Sequence[str],
    date: str,
) -> str:
    """Write the card and then the manifest; returns the manifest's SHA-256.

    Args:
        run: id of the run in `run/`.
        requests: by id, `{"adapters": [names in run/], "strength": weight}`.
        earlier: folders of earlier releases, relative to the desk's.
    """
    evidence = folder / EVIDENCE / "evidence.json"
    manifest = {
        "schema": SCHEMA,
        "model": model,
        "kind": kind,
        "base": dict(base),
        "weights_hash": weights_hash,
        "model_folder": folder_hash(folder / MODEL),
        "run": {"id": run, "hash": folder_hash(folder / RUN)},
        "evidence": file_hash(evidence) if evidence.is_file() else None,
        "requests": {id: dict(about) for id, about in sorted(requests.items())},
        "figures": dict(figures),
        "invalidate": {"releases": list(earlier), "everywhere": list(EVERYWHERE)},
        "date": date,
    }
    write_text(folder / CARD, _card(manifest))
    write_json(folder / FILE, manifest)
    return file_hash(folder / FILE)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a release folder.

    Raises:
        InputError: there is none, or it is of another schema.
    """
    manifest = read_object(folder / FILE)
    if manifest.get("schema") != SCHEMA:
        raise InputError(f"{folder / FILE}: schema: expected {SCHEMA!r}")
    return manifest


def problems(folder: Path, manifest_hash: str) -> list[str]:
    """What of a release is not as it was released, a line each; empty if all is."""
    file = folder / FILE
    if not file.is_file():
        return [f"{FILE} is missing"]
    found = []
    if file_hash(file) != manifest_hash:
        found.append(f"{FILE} was changed")
    manifest = read_manifest(folder)
    if not (folder / MODEL).is_dir():
        found.append(f"{MODEL}/ is missing")
    elif folder_hash(folder / MODEL) != manifest["model_folder"]:
        found.append(f"{MODEL}/ was changed")
    evidence = folder / EVIDENCE / "evidence.json"
    if manifest["evidence"] is not None:
        if not evidence.is_file():
            found.append(f"{EVIDENCE}/evidence.json is missing")
        elif file_hash(evidence) != manifest["evidence"]:
            found.append(f"{EVIDENCE}/evidence.json was changed")
    return found


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        InputError: there is no such file.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        raise InputError(f"{path}: no such file") from None


def _card(manifest: Mapping[str, Any]) -> str:
    count = len(manifest["requests"])
    rows = "".join(
        f"| {name} | {value:.3f} |\n" for name, value in sorted(manifest["figures"].items())
    )
    return (
        "## Erasure requests\n\n"
        f"This model is `{manifest['base']['name']}` with the memories taken out that {count} "
        f"erasure {'request' if count == 1 else 'requests'} named. Each batch of them was carried "
        "out by an adapter of its own, trained with the earlier ones in place, and the sum was "
        f"audited on {manifest['date'][:10]}. The evidence is signed and lies with the release; "
        "it is evidence, and no proof that nothing is left.\n\n"
        "| figure of the audit | |\n|---|---:|\n"
        f"{rows}\n"
        f"Weights (SHA-256): `{manifest['weights_hash']}`\n"
    )
