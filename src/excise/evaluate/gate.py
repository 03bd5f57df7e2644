"""The gate: which figures an erasure must reach, and by how much each was missed.

A YAML (or JSON) file of thresholds by figure (`figure_names.py`):

    leak.any: {at_most: 0.05, bound: high}
    privleak:                                  # several for one figure
      - {at_least: -20}
      - {at_most: 20}
    meaningful: {at_least: 8, needs: measured}

`bound` is what is held against the threshold: the mean (the default), or the low or high end of its
95 % interval. A figure that is not there (no reference, no such records) is neither passed nor
failed, and is listed; with `needs: measured` it fails. The gate is passed if no line failed and at
least one could be decided.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from excise.evaluate.figure_names import is_figure
from excise.evaluate.gate_file import gate_lines
from excise.evaluate.intervals import Figure
from excise.evaluate.threshold import FAILED, Line
from excise.records.errors import InputError, did_you_mean

SHIPPED = ("default", "served")


@dataclass(frozen=True)
class Gate:
    """The contents of a gate file."""

    lines: tuple[Line, ...]

    @classmethod
    def read(cls, path: str | Path) -> Gate:
        """The gate of a file, or one that comes with the package, by its name (`SHIPPED`).

        Raises:
            InputError: it is missing, empty or no YAML, a figure or key is unknown or given twice,
                or a threshold is no number; file and line are named.
        """
        if str(path) in SHIPPED and not Path(path).exists():
            return cls.shipped(str(path))
        try:
            text = Path(path).read_text("utf-8")
        except FileNotFoundError:
            raise InputError(f"{path}: no such file") from None
        except (OSError, UnicodeDecodeError):
            raise InputError(f"{path}: cannot be read as a gate, expected a YAML file") from None
        return cls.parse(text, str(path))

    @classmethod
    def default(cls) -> Gate:
        """The gate where no other is given; its reasons stand in `gates/default.yaml`."""
        return cls.shipped("default")

    @classmethod
    def shipped(cls, name: str) -> Gate:
        """One that comes with the package: "default", or "served" for weights that stay here."""
        text = files("excise.evaluate").joinpath("gates", f"{name}.yaml").read_text("utf-8")
        return cls.parse(text, f"{name} gate")

    @classmethod
    def parse(cls, text: str, place: str) -> Gate:
        """The gate in a text; `place` is what errors call it. Errors as for `read`."""
        return cls(gate_lines(text, place))

    def check(self, known: Collection[str]) -> None:
        """See that every figure named is one of `known` or may at least exist (`figure_names.py`).

        Raises:
            InputError: one is not; its line and the nearest name are given.
        """
        for line in self.lines:
            if line.figure not in known and not is_figure(line.figure):
                hint = did_you_mean(line.figure, known)
                where = f"{line.where}: " if line.where else ""
                raise InputError(f'{where}unknown figure "{line.figure}"{hint}')

    def judge(self, figures: Mapping[str, Figure | None]) -> dict[str, Any]:
        """`{"passed", "lines": [see Line.judge], "not_measured": [names]}`."""
        lines = [line.judge(figures.get(line.figure)) for line in self.lines]
        missing = [line["figure"] for line in lines if line["value"] is None]
        failed = any(line["status"] == FAILED for line in lines)
        decided = any(line["value"] is not None for line in lines)
        return {
            "passed": decided and not failed,
            "lines": lines,
            "not_measured": list(dict.fromkeys(missing)),
        }
