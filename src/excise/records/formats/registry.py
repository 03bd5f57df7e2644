"""Formats by name: a function that turns a benchmark's rows into records, and what is published.

A reader gets a `Reading` (the source, what was asked for) and gives it a record's fields at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from excise.records.errors import InputError, did_you_mean
from excise.records.formats.reading import Reading

Reader = Callable[[Reading], None]


@dataclass(frozen=True)
class Format:
    """A benchmark: `forget` are the shares of people that it publishes in percent, 5 the default
    (none: its reader says what `forget` means); `hub` is where it is published."""

    name: str
    read: Reader
    forget: tuple[str, ...]
    hub: str
    reference: str

    def share(self, given: str | None) -> str:
        """The share to forget.

        Raises:
            InputError: the benchmark publishes no such share.
        """
        if given is None:
            return "5" if self.forget else ""
        if self.forget and given.removesuffix("%").strip() not in self.forget:
            raise InputError(
                f"--forget {given}: {self.name} publishes {', '.join(self.forget)} (percent of "
                "its people), expected one of these"
            )
        return given.removesuffix("%").strip()


FORMATS: dict[str, Format] = {}


def benchmark(
    name: str, *, forget: Sequence[str], hub: str, reference: str
) -> Callable[[Reader], Reader]:
    """Register a reader.

    Raises:
        ValueError: the name is taken.
    """

    def register(reader: Reader) -> Reader:
        if name in FORMATS:
            raise ValueError(f'a format named "{name}" is registered already')
        FORMATS[name] = Format(name, reader, tuple(forget), hub, reference)
        return reader

    return register


def named(name: str) -> Format:
    """The format of that name, as people write it ("MLLMU-Bench", "mllmu_bench").

    Raises:
        InputError: there is none.
    """
    key = name.strip().lower().replace("_", "-")
    if key not in FORMATS:
        hint = did_you_mean(key, FORMATS) or f"; expected one of {', '.join(FORMATS)}"
        raise InputError(f'--format: unknown format "{name}"{hint}')
    return FORMATS[key]
