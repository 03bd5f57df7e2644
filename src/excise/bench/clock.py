"""How long a bench will still take, from how long its finished cells took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean


class Clock:
    """Seconds of finished cells by method; what a method is not known to take, others tell."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = {}

    def note(self, method: str, seconds: float) -> None:
        """A cell that took so long."""
        self._seconds.setdefault(method, []).append(seconds)

    def left(self, waiting: Iterable[str], at_a_time: int) -> float | None:
        """Seconds for the cells of these methods; None as long as none is finished."""
        if not self._seconds:
            return None
        means = {method: fmean(seconds) for method, seconds in self._seconds.items()}
        usual = fmean(means.values())
        return sum(means.get(method, usual) for method in waiting) / at_a_time


def line(done: int, total: int, label: str, note: str, left: float | None) -> str:
    """`[12/171] smfa, 5 %, seed 0: 95 s; about 2 h 40 min left`."""
    still = "" if left is None or done == total else f"; about {spoken(left)} left"
    return f"[{done}/{total}] {label}: {note}{still}"


def spoken(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def seconds_of(cell: Mapping[str, object]) -> float:
    """How long a cell took to make."""
    found = cell.get("seconds")
    return float(found) if isinstance(found, int | float) else 0.0
