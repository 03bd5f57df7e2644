"""Where a benchmark's subsets lie: a downloaded folder, one file, or a repository on the hub.

A subset ("forget_5", "forget05+tofu") is a folder of that name with parquet files or one that
`datasets` saved, or a `.parquet`, `.jsonl` or `.json` file of that name. What is not there as a
path and looks like `owner/name` is loaded by `datasets.load_dataset`, a configuration a subset.
Pictures stay compressed on every way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from excise.records.errors import InputError, did_you_mean
from excise.records.tables import RawRow, datasets_rows, json_lines, parquet_rows

_SUFFIXES = (".parquet", ".jsonl", ".json")
_BATCH = 64


class Source:
    """The subsets of one benchmark.

    Raises:
        InputError: nothing is there, and the name is none that a hub could have.
    """

    def __init__(self, given: str | Path) -> None:
        self.given = str(given)
        self.path = Path(given)
        self.on_hub = not self.path.exists()
        if self.on_hub and not _is_hub_id(self.given):
            raise InputError(
                f"{self.given}: no such file or folder, expected a downloaded benchmark or its id "
                "on the hub (owner/name)"
            )

    @property
    def root(self) -> Path:
        """The folder that files named in the data lie in."""
        return self.path if self.path.is_dir() else self.path.parent

    def has(self, subset: str) -> bool:
        """Whether the subset is there."""
        return subset in self._configurations if self.on_hub else self._find(subset) is not None

    def rows(self, subset: str) -> Iterator[RawRow]:
        """The subset's rows, keys without a value left out.

        Raises:
            InputError: it is not there (the nearest name is told), or cannot be read.
        """
        if self.on_hub:
            return self._hub_rows(subset)
        place = self._find(subset)
        if place is None:
            raise self._missing(subset, sorted({p.stem for p in _visible(self.root)}))
        return _table(place)

    def only(self) -> Iterator[RawRow]:
        """The rows of a benchmark that is one table: one file, or the only one in the folder.

        Raises:
            InputError: there are none or several, or it cannot be read.
        """
        if self.on_hub:
            return self._hub_rows(None)
        if self.path.is_file():
            return _table(self.path)
        if (self.path / "state.json").exists() or (self.path / "dataset_dict.json").exists():
            return datasets_rows(self.path)
        files = [p for p in _visible(self.path) if p.suffix in _SUFFIXES]
        if len(files) == 1:
            return _table(files[0])
        raise InputError(
            f"{self.path}: {len(files)} tables, expected one ({', '.join(_SUFFIXES)}), or the file"
        )

    def _find(self, subset: str) -> Path | None:
        if self.path.is_file():
            return self.path if self.path.stem == subset else None
        folder = self.path / subset
        if folder.is_dir() and any(
            next(folder.rglob(pattern), None) is not None
            for pattern in ("*.parquet", "state.json", "dataset_dict.json")
        ):
            return folder
        files = (self.path / f"{subset}{suffix}" for suffix in _SUFFIXES)
        return next((file for file in files if file.is_file()), None)

    def _missing(self, subset: str, names: list[str]) -> InputError:
        return InputError(
            f"{self.given}: no {subset}, expected a folder or file of that name; found "
            + (", ".join(names[:12]) or "nothing")
            + did_you_mean(subset, names)
        )

    @cached_property
    def _configurations(self) -> list[str]:
        import datasets

        try:
            return list(datasets.get_dataset_config_names(self.given))
        except Exception as error:  # its errors for a missing or gated repository are many
            raise self._unreachable(error) from None

    def _hub_rows(self, subset: str | None) -> Iterator[RawRow]:
        import datasets

        if subset is not None and subset not in self._configurations:
            raise self._missing(subset, self._configurations)
        try:
            loaded = datasets.load_dataset(self.given, subset)
        except Exception as error:
            raise self._unreachable(error) from None
        for split, part in loaded.items():
            number = 0
            for batch in part.with_format("arrow").iter(batch_size=_BATCH):
                for values in batch.to_pylist():
                    number += 1
                    where = f"{self.given} {subset or ''}/{split}: row {number}"
                    present = {key: value for key, value in values.items() if value is not None}
                    yield RawRow(where, number, present)

    def _unreachable(self, error: Exception) -> InputError:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        return InputError(
            f"{self.given}: neither a file or folder here nor to be had from the hub ({reason}); "
            "expected a downloaded benchmark or its id on the hub"
        )


def _table(place: Path) -> Iterator[RawRow]:
    if place.is_dir():
        if (place / "state.json").exists() or (place / "dataset_dict.json").exists():
            return datasets_rows(place)
        return parquet_rows(sorted(place.rglob("*.parquet")))
    if place.suffix == ".parquet":
        return parquet_rows([place])
    return json_lines(place) if place.suffix == ".jsonl" else json_rows(place)


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def json_rows(path: Path) -> Iterator[RawRow]:
    """Rows of a `.json` file: a list of objects, an object of objects, or one object a line.

    Raises:
        InputError: it is none of these.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path}: cannot be read, expected JSON in UTF-8") from None
    try:
        content: Any = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # one object a line, under the name of a whole
            return json_lines(path)
        raise InputError(f"{path}:{error.lineno}: broken JSON ({error.msg})") from None
    except RecursionError:
        raise InputError(f"{path}: nested too deeply, expected a list of objects") from None
    entries = list(content.values()) if isinstance(content, dict) else content
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{path}: expected a list of JSON objects")
    return (
        RawRow(f"{path}: entry {number}", number, {k: v for k, v in e.items() if v is not None})
        for number, e in enumerate(entries, start=1)
    )


def _is_hub_id(given: str) -> bool:
    parts = given.split("/")
    return len(parts) == 2 and all(parts) and not given.startswith((".", "~", "/"))
