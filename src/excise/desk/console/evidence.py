"""The signed evidence of a request, as it is handed out: only if it is what was signed.

A zip of three files, so that `excise evidence verify` finds them side by side: `evidence.json`,
whose hash the ledger has, and the audit and its page, whose hashes the evidence has. The same files
give the same zip, byte for byte.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from excise.desk.console.state import Console
from excise.desk.errors import NotAllowed, Unknown

EPOCH = (1980, 1, 1, 0, 0, 0)  # of zips


def evidence_of(console: Console, request_id: str, model: str) -> tuple[str, bytes]:
    """File name and content of the zip.

    Raises:
        Unknown: no such request or model, or nothing is signed yet.
        NotAllowed: a file is missing, or is not the one whose hash was written down.
    """
    request = console.ledger.request(request_id)
    part = next((part for part in request.parts if part.model == model), None)
    if part is None or not part.evidence:
        raise Unknown(f"{request_id}: no evidence for this model yet")
    root = console.ledger.settings.folder.resolve()
    path = (root / str(part.evidence.get("file", ""))).resolve()
    if not path.is_relative_to(root):
        raise NotAllowed(f"{request_id}: its evidence lies outside the desk's folder")
    content = _checked(request_id, path, str(part.evidence.get("sha256")))
    files = {path.name: content}
    for name, about in _beside(content).items():
        file = path.with_name(Path(name).name)
        files[file.name] = _checked(request_id, file, str(about.get("sha256")))
    return f"{request_id}-evidence.zip", _zipped(files)


def _checked(request_id: str, path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError:
        raise NotAllowed(f"{request_id}: {path.name} is missing from the desk's folder") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise NotAllowed(f"{request_id}: {path.name} was changed after it was signed")
    return content


def _beside(content: bytes) -> Mapping[str, Mapping[str, Any]]:
    """The files that the evidence is bound to, with their hashes."""
    try:
        found = json.loads(content)["body"]["files"]
    except (ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _zipped(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name])
    return out.getvalue()
