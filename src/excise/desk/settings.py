"""Where a desk keeps its things: the ledger, the folder beside it, the key.

The folder (`desk-files/` beside an SQLite ledger, in the working folder for PostgreSQL) holds
`vault/` (ciphertext and wrapped keys), `open/` (what is unlocked at this moment), `runs/`,
`releases/` and `evidence/`. The key lies outside it, so that one backup never holds both. Several
workers share the folder as they share the ledger.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT_URL = "sqlite:///desk.db"
URL, FOLDER, KEY, KEY_FILE, OPEN = (
    "EXCISE_DESK_DB",
    "EXCISE_DESK_FOLDER",
    "EXCISE_DESK_KEY",
    "EXCISE_DESK_KEY_FILE",
    "EXCISE_DESK_OPEN",
)
"""Environment variables; what is given to a command wins over them."""


@dataclass(frozen=True)
class Settings:
    url: str
    folder: Path
    key_file: Path
    open_folder: Path
    """Where unlocked data lie, mode 700; a folder in memory (tmpfs) is best."""

    @classmethod
    def of(
        cls,
        url: str | None = None,
        folder: str | Path | None = None,
        key_file: str | Path | None = None,
    ) -> Settings:
        """What was given, else the environment, else beside the ledger."""
        url = url or os.environ.get(URL) or DEFAULT_URL
        home = home_of(url)
        place = Path(folder or os.environ.get(FOLDER) or home.with_name(f"{home.name}-files"))
        return cls(
            url=url,
            folder=place,
            key_file=Path(
                key_file or os.environ.get(KEY_FILE) or home.with_name(f"{home.name}.key")
            ),
            open_folder=Path(os.environ.get(OPEN) or place / "open"),
        )

    @property
    def vault(self) -> Path:
        return self.folder / "vault"

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def releases(self) -> Path:
        return self.folder / "releases"

    @property
    def evidence(self) -> Path:
        return self.folder / "evidence"


def home_of(url: str) -> Path:
    """The path that the names beside the ledger begin with: `desk` for `sqlite:///desk.db`."""
    path = url.partition(":///")[2].partition("?")[0] if url.startswith("sqlite") else ""
    return Path(path).with_suffix("") if path else Path("desk")
