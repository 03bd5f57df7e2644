"""Picture features kept in a folder, from one call of the program to the next.

One safetensors file a picture, under a hash of what it was made from, written beside its name and
renamed, so that several processes may share the folder and an interruption leaves nothing broken.
The folder is bounded: the files used longest ago go first. A picture's features tell what is in the
picture, so the folder is as personal as the data, and is only written where a user names it.
"""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from excise.records.errors import InputError
from excise.vlm.features_form import flat, unflat

_FORM = "form"


class FeatureFolder:
    """A folder of features, at most `limit` bytes of them.

    Raises:
        InputError: the folder cannot be made or written to.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._cannot(error) from None
        self._bytes = sum(entry.stat().st_size for entry in folder.glob("*.safetensors"))

    def read(self, key: str) -> dict[str, Any] | None:
        """What was kept under the key; None for nothing, or for a file that is not whole."""
        path = self._path(key)
        try:
            with safe_open(path, framework="pt") as file:  # type: ignore[no-untyped-call,unused-ignore]
                form = json.loads(file.metadata()[_FORM])
                found = unflat({name: file.get_tensor(name) for name in file.keys()}, form)  # noqa: SIM118
            os.utime(path)  # used just now
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None
        return found

    def write(self, key: str, value: dict[str, Any]) -> None:
        """Keep it.

        Raises:
            InputError: the folder cannot be written to any more (full, say).
        """
        tensors, form = flat(value)
        part = self._folder / f".{key}.{secrets.token_hex(4)}.part"
        try:
            try:
                save_file(
                    {name: tensor.contiguous() for name, tensor in tensors.items()},
                    part,
                    metadata={_FORM: json.dumps(form)},
                )
                self._bytes += part.stat().st_size
                os.replace(part, self._path(key))
            finally:
                part.unlink(missing_ok=True)
        except (OSError, SafetensorError) as error:
            raise self._cannot(error) from None
        if self._bytes > self._limit:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        files = []
        for path in self._folder.glob("*.safetensors"):
            with suppress(OSError):  # another process may have dropped it
                found = path.stat()
                files.append((found.st_mtime_ns, found.st_size, path))
        self._bytes = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if self._bytes <= self._limit:
                return
            path.unlink(missing_ok=True)
            self._bytes -= size

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.safetensors"

    def _cannot(self, error: Exception) -> InputError:
        reason = getattr(error, "strerror", None) or str(error)
        return InputError(f"{self._folder}: features cannot be kept here ({reason})")
