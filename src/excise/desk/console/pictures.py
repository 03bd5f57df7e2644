"""Pictures from outside, judged in a process of their own (`picture_child`)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from excise.records.errors import InputError

CHILD = Path(__file__).with_name("picture_child.py")
SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp"}
SECONDS = 60.0


def judged(pictures: Mapping[str, bytes]) -> dict[str, str]:
    """The suffix of each picture, by what it is and not by what it is called.

    Args:
        pictures: file contents by a name for errors, which must hold nothing personal.

    Raises:
        InputError: one is no PNG, JPEG or WebP, declares too many pixels, is animated, truncated
            or damaged, or broke its decoder.
    """
    if not pictures:
        return {}
    sent = b"".join(len(c).to_bytes(8, "big") + c for c in pictures.values())
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(CHILD)],
            input=sent,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=True,
            env={},
        )
        found = json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError):
        raise InputError(
            f"pictures: one of {len(pictures)} stopped the decoder, expected ordinary pictures"
        ) from None
    for name, (_, reason) in zip(pictures, found, strict=True):
        if reason is not None:
            raise InputError(f"{name}: {reason}")
    return {name: SUFFIXES[kind] for name, (kind, _) in zip(pictures, found, strict=True)}
