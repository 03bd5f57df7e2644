"""The evidence of an audit: what was found, for what, with what; signed, and without a name.

`make` puts it together, `sign` signs it, `write` puts it into its file, `verify` holds it against
everything it names; `sign_audit` does the first three for the folder of an audit. What the fields
are, how to verify them without this package, and what they do not prove: docs/evidence.md.

Cost: one pass over run, export and data; a signature takes no time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from excise.erasure.canonical import plain
from excise.erasure.covered_people import covered, covering, new_salt
from excise.erasure.folder_hash import file_entry, listing, listing_hash
from excise.erasure.no_names import no_personal_data
from excise.erasure.signing import document_bytes, signed, signing_key
from excise.erasure.verification import SCHEMA, verify
from excise.records.errors import InputError
from excise.records.writing import write_text
from excise.weights.json_file import read_object

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from excise.records.data import Data

__all__ = [
    "FILE",
    "SCHEMA",
    "covered",
    "make",
    "new_salt",
    "no_personal_data",
    "sign",
    "sign_audit",
    "signing_key",
    "verify",
    "write",
]

FILE = "evidence.json"
BESIDE = ("audit.json", "report.html")
"""What lies beside it and is bound to it by its hash."""
AUDIT = "excise.audit/1"

_NEEDED = ("model", "data", "preset", "seed", "figures", "attacks", "not_tried", "gate", "versions")
_COPIED = (
    *_NEEDED,
    *("run", "export", "before", "reference", "seconds", "sides", "people", "warnings"),
)


def make(
    audit: Mapping[str, Any],
    *,
    data: Data,
    files: Mapping[str, Path],
    run: Path | None = None,
    export: Path | None = None,
    salt: bytes | None = None,
    subjects: Iterable[str] | None = None,
    date: datetime | None = None,
) -> dict[str, Any]:
    """The body of an evidence (schema `excise.evidence/1`), unsigned.

    Args:
        audit: as `audit` returns it (schema `excise.audit/1`).
        data: what was audited with; only hashes of it go in.
        files: what lies beside the evidence, by its name there.
        run: the run's folder, for the hash of each of its files.
        export: the exported folder, likewise.
        salt: of the subjects' hashes; a fresh one, kept by nobody, if None (`new_salt`).
        subjects: the people it is about; all of split forget if None.
        date: when it is signed, UTC; now if None.

    Raises:
        InputError: data, run or export is another one than was audited, a file is missing, or
            something personal is in what was to be signed.
        ValueError: it is no audit.
    """
    missing = [name for name in _NEEDED if name not in audit]
    if audit.get("schema") != AUDIT or missing:
        raise ValueError(f"expected an audit of schema {AUDIT}, found none or without {missing}")
    found = audit["data"].get("fingerprint")
    fingerprint = data.fingerprint()
    if found not in (None, fingerprint):
        raise InputError(f"{data.folder}: changed since the audit, expected the same records")
    about = data.subjects("forget") if subjects is None else subjects
    body: dict[str, Any] = plain(
        {name: audit[name] for name in _COPIED if audit.get(name) is not None}
    )
    body |= {
        "schema": SCHEMA,
        "date": (date or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "audited": audit.get("date"),
        "data": {**body["data"], "fingerprint": fingerprint},
        "run": _folder("run", run, audit.get("run")),
        "export": _export(export, audit),
        "subjects": covering(about, salt or new_salt()),
        "files": {name: file_entry(path) for name, path in files.items()},
    }
    no_personal_data(body, data)
    return body


def sign(body: Mapping[str, Any], key: Ed25519PrivateKey) -> dict[str, Any]:
    """The evidence: body and signature (see `signing.signed`)."""
    return signed(dict(body), key)


def write(path: Path, evidence: Mapping[str, Any]) -> None:
    """Write an evidence in the one spelling that verifies.

    Raises:
        InputError: the place cannot be written to.
    """
    write_text(path, document_bytes(evidence).decode())


def sign_audit(
    audit: Mapping[str, Any],
    folder: Path,
    *,
    data: Data,
    key: Ed25519PrivateKey,
    run: Path | None = None,
    export: Path | None = None,
    salt: bytes | None = None,
) -> dict[str, Any]:
    """Sign an audit whose `audit.json` and `report.html` lie in a folder, and put it beside them.

    Returns:
        The evidence, as written to `evidence.json`.

    Raises:
        InputError: see `make`; the folder cannot be written to.
    """
    files = {name: folder / name for name in BESIDE}
    evidence = sign(make(audit, data=data, files=files, run=run, export=export, salt=salt), key)
    write(folder / FILE, evidence)
    return evidence


def _folder(
    what: str, folder: Path | None, audited: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """What the audit says of a run or export, with the hash of each of its files if it is here."""
    if folder is None:
        return None if audited is None else dict(audited)
    if audited is None:
        raise InputError(f"{folder}: the audit is of no {what}, expected none")
    files = listing(folder)
    found = listing_hash(files)
    if audited.get("hash") not in (None, found):
        raise InputError(f"{folder}: changed since the audit, expected the {what} that was audited")
    return {**audited, "hash": found, "files": files}


def _export(folder: Path | None, audit: Mapping[str, Any]) -> dict[str, Any] | None:
    """The export that was audited, or one that was made of the run that was."""
    audited, run = audit.get("export"), audit.get("run")
    if folder is None or audited is not None or run is None:
        return _folder("export", folder, audited)
    made_of = read_object(folder / "export.json").get("run")
    if made_of != run.get("id"):
        raise InputError(f"{folder}: is an export of another run than was audited")
    return _folder("export", folder, {"run": made_of})
