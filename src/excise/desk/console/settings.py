"""What a console may be told when it starts. The defaults suit one office on one machine."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 2**20
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Rate:
    """So many requests a minute in the long run, and so many at once after a pause."""

    per_minute: float
    burst: int


@dataclass(frozen=True)
class Settings:
    """Limits and places of a console.

    `hosts` are the names that a browser may call it by: a page elsewhere that lets its own name
    point to this machine (DNS rebinding) is not answered. `tls` says that browsers reach it by
    HTTPS, from here or from a proxy in front; cookies then go no other way.
    """

    hosts: tuple[str, ...] = LOOPBACK
    tls: bool = False
    by_key: Rate = Rate(600, 120)
    by_address: Rate = Rate(1200, 240)
    wrong_keys: Rate = Rate(6, 6)  # by address; a key cannot be guessed, and nobody should try
    largest_upload: int = 32 * MIB
    largest_body: int = MIB // 16  # of everything that is no upload
    uploads_at_once: int = 2  # each is held in memory, never on disk in clear
    upload_seconds: float = 120.0
    session_hours: float = 8.0
    page_rows: int = 50
