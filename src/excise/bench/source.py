"""Where the cells' data come from: the specimen, or a data folder, as it is or drawn anew.

Plain values, so that a worker on another machine can read for itself what a cell is made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from excise.bench.draw import redraw
from excise.records.data import Data
from excise.records.reading import read
from excise.specimen import checkpoint, dataset


@dataclass(frozen=True)
class Source:
    """A model and its data; `data` is None for the specimen, whose folders lie in `bench`."""

    model: str
    data: Path | None
    bench: Path

    @classmethod
    def of_specimen(cls, bench: Path) -> Source:
        """The shipped model; its data are written into the bench folder when they are needed."""
        return cls(str(checkpoint("original")), None, bench)

    @property
    def model_name(self) -> str:
        """The model without any local path: a folder's own name, or the hub id."""
        path = Path(self.model)
        return path.resolve().name if path.is_dir() else self.model

    def given(self) -> Data | None:
        """The data folder as it is, read and checked; None for the specimen."""
        return None if self.data is None else read(self.data)

    def read(self, ratio: int | None, seed: int, given: Data | None = None) -> Data:
        """The data of one choice of forgotten people; ratio None is the folder's own.

        Args:
            given: what `given()` returned, if it is at hand.

        Raises:
            InputError: the folder cannot be read or drawn from, or the specimen's not written.
        """
        if self.data is None:
            assert ratio is not None  # the specimen has no split of its own
            folder = self.bench / "data" / f"{ratio}-{seed}"
            if not folder.is_dir():
                dataset.write(folder, ratio, seed)
            return read(folder)
        whole = given or read(self.data)
        return whole if ratio is None else redraw(whole, ratio, seed)


@dataclass(frozen=True)
class Draw:
    """One choice of forgotten people: a block of the bench's table, with its data's hash."""

    ratio: int | None
    seed: int
    fingerprint: str

    @property
    def name(self) -> str:
        """`5-0`, or `given-0` for a folder's own split."""
        return f"{'given' if self.ratio is None else self.ratio}-{self.seed}"


def people(data: Data) -> dict[str, str]:
    """A short name for everybody in the data that tells nothing: `p0`, `p1`, ...

    The same whoever is forgotten, so that seeds can be pooled by person.
    """
    subjects: Any = {record.subject for record in data.records if record.subject}
    return {subject: f"p{number}" for number, subject in enumerate(sorted(subjects))}
