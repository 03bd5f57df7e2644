"""An evidence held against what it names: not a byte of it, its report, run or export has changed.

Everything that does not hold is named, one line each. Of an evidence whose signature does not fit
nothing else is compared: its hashes may be the forger's.

Cost: one pass over the folders that are given; nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from excise.erasure.checks import Verification
from excise.erasure.folder_hash import (
    Entry,
    differences,
    file_entry,
    folder_hash,
    listing,
    listing_hash,
)
from excise.erasure.key_files import read_public_key
from excise.erasure.signing import key_id, opened
from excise.records.errors import InputError

SCHEMA = "excise.evidence/1"
_SHOWN = 8
"""Files of one folder that are named; a folder of another run differs in all of them."""


def verify(
    evidence: str | Path,
    *,
    key: str | Path | None = None,
    run: str | Path | None = None,
    export: str | Path | None = None,
    data: str | Path | None = None,
    model: str | None = None,
    alone: bool = False,
) -> Verification:
    """Compare an evidence with itself, with what lies beside it, and with whatever else is given.

    Args:
        key: the signer's public key (PEM); without it the signature is only self-consistent.
        run, export, data: the folders that it is about.
        model: the base model's folder or hub id, whose weights are hashed.
        alone: do not look for the files beside it.

    Raises:
        InputError: a file or folder that was given does not exist or cannot be read, or the key is
            no key. What is wrong with an evidence or a folder that is there is not raised.
    """
    path = Path(evidence)
    trusted = None if key is None else key_id(read_public_key(Path(key)))
    for folder in (run, export, data):
        if folder is not None and not Path(folder).exists():
            raise InputError(f"{folder}: no such folder")
    raw = _read(path)
    result = Verification()
    try:
        body, result.key_id = opened(raw)
        if body.get("schema") != SCHEMA:
            raise ValueError(f"schema: expected {SCHEMA}")
    except ValueError as error:
        result.add("evidence", False, str(error))
        result.add("the rest", None, "nothing in a changed evidence can be relied on")
        return result
    result.body = body
    if trusted is None:
        said = f"by key {result.key_id}; whose key that is was not checked (--key)"
        result.add("signature", True, said)
    elif trusted == result.key_id:
        result.add("signature", True, f"by the key given, {result.key_id}")
    else:
        result.add("signature", False, f"by key {result.key_id}, the one given is {trusted}")
    if not alone:
        _beside(path.parent, body, result)
    for what, folder in (("run", run), ("export", export)):
        if folder is not None:
            _folder(what, Path(folder), body.get(what), result)
    if data is not None:
        _data(data, body, result)
    if model is not None:
        _model(model, body, result)
    return result


def _beside(folder: Path, body: Mapping[str, Any], result: Verification) -> None:
    files = body.get("files")
    for name, wanted in (files if isinstance(files, dict) else {}).items():
        if Path(name).name != name:  # a forger's name must not lead elsewhere
            result.add("files", False, "a name with a path")
            continue
        try:
            same = file_entry(folder / name) == wanted
            result.add(name, same, "" if same else "changed")
        except InputError as error:
            result.add(name, False, _reason(error))


def _folder(what: str, folder: Path, signed: object, result: Verification) -> None:
    wanted = signed if isinstance(signed, dict) else {}
    files, wanted_hash = _entries(wanted.get("files")), wanted.get("hash")
    if files is None and wanted_hash is None:
        result.add(what, False, f"the evidence is about no {what}")
        return
    try:
        if files is None:
            same = folder_hash(folder) == wanted_hash
            result.add(what, same, "" if same else "a file is changed, missing or extra")
            return
        found = listing(folder)
    except InputError as error:
        result.add(what, False, str(error))
        return
    lines = differences(files, found)
    for line in lines[:_SHOWN]:
        result.add(what, False, line)
    if len(lines) > _SHOWN:
        result.add(what, False, f"and {len(lines) - _SHOWN} more files")
    if not lines:
        result.add(what, listing_hash(found) == wanted_hash, f"{len(found)} files")


def _entries(files: object) -> dict[str, Entry] | None:
    return files if isinstance(files, dict) else None


def _data(folder: str | Path, body: Mapping[str, Any], result: Verification) -> None:
    from excise.records.reading import read

    signed = body.get("data")
    wanted = signed.get("fingerprint") if isinstance(signed, dict) else None
    try:
        same = read(folder).fingerprint() == wanted
        result.add("data", same, "" if same else "other records or pictures than were audited")
    except InputError as error:
        result.add("data", False, str(error))


def _model(source: str, body: Mapping[str, Any], result: Verification) -> None:
    from excise.vlm.weights_hash import hash_weights, weight_files

    signed = body.get("model")
    wanted = signed.get("weights_hash") if isinstance(signed, dict) else None
    found = hash_weights(weight_files(source))
    said = "" if found == wanted else f"its weights are {found[:12]}, audited were {wanted!s:.12}"
    result.add("model", found == wanted, said)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def _reason(error: InputError) -> str:
    """What went wrong, without the path that stands before it."""
    return str(error).rpartition(": ")[2]
