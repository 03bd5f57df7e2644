"""The records of one data folder and their pictures.

Pictures stay on disk and are decoded when asked for (`Data.picture`); those that came inside a
table (parquet, `datasets`) are kept as compressed bytes, so memory grows with their file sizes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from excise.records.errors import InputError, did_you_mean
from excise.records.pictures import decode_picture
from excise.records.record import KINDS, SPLITS, Kind, Record, Split, Use


@dataclass(frozen=True)
class Data:
    """Checked records, as `read` returns them."""

    folder: Path
    records: tuple[Record, ...]
    embedded: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Picture files that came inside a table, by `Record.image`."""

    def select(
        self,
        *,
        splits: Collection[Split] | None = None,
        kinds: Collection[Kind] | None = None,
        use: Use | None = None,
    ) -> list[Record]:
        """Records of the given splits and kinds (None: all), in the order of the file.

        `use="fit"` keeps what a method may train on, `use="score"` what is scored.

        Raises:
            InputError: a split or kind of that name does not exist.
        """
        for what, given, known in (("split", splits, SPLITS), ("kind", kinds, KINDS)):
            for name in given or ():
                if name not in known:
                    raise InputError(
                        f'unknown {what} "{name}", expected {", ".join(known)}'
                        + did_you_mean(name, known)
                    )
        return [
            record
            for record in self.records
            if (splits is None or record.split in splits)
            and (kinds is None or record.kind in kinds)
            and (use != "fit" or record.fits)
            and (use != "score" or record.scores)
        ]

    def picture(self, record: Record) -> Image.Image | None:
        """The record's picture in RGB, decoded anew at every call; None if it has none.

        Raises:
            InputError: the picture cannot be read (any more).
        """
        if record.image is None:
            return None
        try:
            return decode_picture(self.picture_source(record.image))
        except ValueError as reason:
            path = self.folder / record.image
            raise InputError(f'{path}: picture of record "{record.id}" {reason}') from None

    def picture_source(self, image: str) -> Path | bytes:
        """Where the picture is: its file, or its bytes if it came inside a table."""
        inside = self.embedded.get(image)
        return self.folder / image if inside is None else inside

    def subjects(self, split: Split) -> list[str]:
        """The people of a split, sorted, each once."""
        return sorted({r.subject for r in self.records if r.split == split and r.subject})

    def fingerprint(self) -> str:
        """SHA-256 over all records and picture bytes, in hexadecimal.

        The same for the same content in any order and under any picture file names, so a run can
        tell whether it was made from this data. Reads every picture file once.
        """
        pictures: dict[str, str] = {}
        digests: list[bytes] = []
        for record in self.records:
            content = record.model_dump(mode="json")
            if record.image is not None:
                if record.image not in pictures:
                    pictures[record.image] = self._picture_hash(record)
                content["image"] = pictures[record.image]
            line = json.dumps(content, sort_keys=True, ensure_ascii=True)
            digests.append(hashlib.sha256(line.encode()).digest())
        return hashlib.sha256(b"".join(sorted(digests))).hexdigest()

    def _picture_hash(self, record: Record) -> str:
        source = self.picture_source(record.image or "")
        try:
            content = source if isinstance(source, bytes) else source.read_bytes()
        except OSError as error:
            raise InputError(
                f'{source!s}: picture of record "{record.id}" cannot be read ({error.strerror})'
            ) from None
        return hashlib.sha256(content).hexdigest()


def require_forgettable(data: Data) -> None:
    """Make sure that there is something to forget and that nobody is both forgotten and kept.

    Raises:
        InputError: no `forget` records, none that may be trained on, or a person both in `forget`
            and in another split. People are not named, only counted.
    """
    forget = data.select(splits=["forget"])
    if not forget:
        raise InputError(f'{data.folder}: no records of split "forget", expected at least one')
    if not any(record.fits for record in forget):
        raise InputError(
            f'{data.folder}: every record of split "forget" has use "score", '
            'expected at least one with use "fit" or none'
        )
    forgotten = set(data.subjects("forget"))
    for split in SPLITS:
        shared = forgotten.intersection(data.subjects(split)) if split != "forget" else set()
        if shared:
            raise InputError(
                f'{data.folder}: {len(shared)} of the people in split "forget" are also in '
                f'split "{split}", expected each person in one split'
            )
