"""A request's own records and everybody else's, as one data folder for a method and an audit.

Built inside the folder that the vault unlocked, which disappears with it: records of all are
copied, pictures of others linked. People who have asked to be forgotten, now or before, are nobody
else's memory any more, and are left out of the others. Records and pictures are numbered: an error
that names one of them names nobody.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from excise.records.data import Data
from excise.records.reading import read
from excise.records.record import Record
from excise.records.unlabelled import FOLDER


def together(
    parts: Sequence[Path], others: Data | None, out: Path, gone: Callable[[str], bool]
) -> Data:
    """Write and read `out`: the forget records of `parts`, the other splits of `others`.

    Args:
        parts: unlocked data folders, one a request.
        gone: whether a subject of `others` has asked to be forgotten.

    Raises:
        InputError: a folder that cannot be read.
    """
    out.mkdir(parents=True)
    lines: list[str] = []
    for number, part in enumerate(parts):
        data = read(part)
        lines += _linked(data, data.select(splits=["forget"]), out, f"request-{number:03d}")
    if others is not None:
        left = {subject for subject in {r.subject for r in others.records} if subject}
        asked = {subject for subject in left if gone(subject)}
        rest = [r for r in others.records if r.split != "forget" and r.subject not in asked]
        lines += _linked(others, rest, out, "others")
        if (others.folder / FOLDER).is_dir():
            (out / FOLDER).symlink_to((others.folder / FOLDER).resolve())
    (out / "records.jsonl").write_text("".join(lines), encoding="utf-8")
    return read(out)


def _linked(data: Data, records: Sequence[Record], out: Path, place: str) -> list[str]:
    """The records' lines, numbered, their pictures linked below `place`."""
    lines = []
    named: dict[str, str] = {}
    for number, record in enumerate(records):
        content = record.model_dump(mode="json")
        content["id"] = f"{place}/{number:06d}"
        if record.image is not None:
            if record.image not in named:
                suffix = Path(record.image).suffix.lower()
                named[record.image] = f"{place}/{len(named):06d}{suffix}"
                _link(data, record.image, out / named[record.image])
            content["image"] = named[record.image]
        lines.append(json.dumps(content, ensure_ascii=False) + "\n")
    return lines


def _link(data: Data, image: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source = data.picture_source(image)
    if isinstance(source, bytes):
        target.write_bytes(source)
    else:
        target.symlink_to(source.resolve())
