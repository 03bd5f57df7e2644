"""Rows of every file format, before they are checked: JSON lines, parquet, `datasets` folders.

Each row comes with the words that tell the user where it stands, so that an error can name it.
Pictures inside tables stay compressed: `datasets` is read in its Arrow form, which never decodes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from excise.records.errors import InputError
from excise.records.record import SPLITS

_BATCH = 256
_SPLIT_IN_NAME = re.compile(rf"({'|'.join(SPLITS)})(-\d+(-of-\d+)?)?")


@dataclass(frozen=True)
class RawRow:
    """One row as it was read: `where` it stands and its `number`, both counted from 1."""

    where: str
    number: int
    values: dict[str, Any]


def json_lines(path: Path) -> Iterator[RawRow]:
    """Rows of a `.jsonl` file; blank lines are skipped."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                if line.strip():
                    where = f"{path}:{number}"
                    yield RawRow(where, number, _json_object(line, where))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def parquet_rows(paths: list[Path]) -> Iterator[RawRow]:
    """Rows of parquet files. A file named after a split (`forget-00000-of-00001.parquet`, as
    `datasets` names them) gives that split to rows without one."""
    import pyarrow
    from pyarrow import parquet

    for path in paths:
        named = _SPLIT_IN_NAME.fullmatch(path.stem)
        try:
            with parquet.ParquetFile(path) as table:
                number = 0
                for batch in table.iter_batches(batch_size=_BATCH):
                    for values in batch.to_pylist():
                        number += 1
                        split = named[1] if named else None
                        yield _table_row(f"{path}: row {number}", number, values, split)
        except (pyarrow.ArrowException, OSError) as error:
            raise InputError(f"{path}: expected a parquet file ({error})") from None


def datasets_rows(folder: Path) -> Iterator[RawRow]:
    """Rows of a folder that `datasets`' `save_to_disk` wrote. The splits of a `DatasetDict` named
    like ours give that split to rows without one."""
    import datasets

    try:
        loaded = datasets.load_from_disk(str(folder))
    except Exception as error:  # its errors for damaged folders come from several libraries
        raise InputError(
            f"{folder}: expected a folder written by datasets' save_to_disk ({error})"
        ) from None
    parts = loaded.items() if isinstance(loaded, datasets.DatasetDict) else [(None, loaded)]
    for name, part in parts:
        place = folder if name is None else folder / str(name)
        number = 0
        for batch in part.with_format("arrow").iter(batch_size=_BATCH):
            for values in batch.to_pylist():
                number += 1
                yield _table_row(f"{place}: row {number}", number, values, name)


def _json_object(line: bytes, where: str) -> dict[str, Any]:
    try:
        values = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: byte {error.start + 1} is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise InputError(
            f"{where}: broken JSON at column {error.colno} ({error.msg}), expected one JSON object "
            "a line"
        ) from None
    except RecursionError:
        raise InputError(f"{where}: nested too deeply, expected one flat JSON object") from None
    if not isinstance(values, dict):
        raise InputError(f"{where}: expected a JSON object with a record's fields")
    return values


def _table_row(where: str, number: int, values: dict[str, Any], split: str | None) -> RawRow:
    # A table has every column in every row, so null is how it says that a key is absent.
    present = {key: value for key, value in values.items() if value is not None}
    if split in SPLITS:
        present.setdefault("split", split)
    return RawRow(where, number, present)
