"""Who of a benchmark's retained people is a few, who a stranger, who stays retained.

Benchmarks publish who is forgotten and who is retained. A method of ours sees only a few of the
retained, as many people as are forgotten unless told otherwise; the rest is for scoring. Nobody in
a benchmark is a stranger to a model that was tuned on all of it, so there are no strangers unless
whoever tunes a model on the others asks for some. One draw of the sorted names by the seed, few
first: more strangers never change who the few are.
"""

from __future__ import annotations

import random
from collections.abc import Collection

from excise.records.errors import InputError
from excise.records.record import Split


class People:
    """The split of every person, None for those who are left out.

    Args:
        few, unseen: how many of the retained are drawn for each; `few` None: as many as are
            forgotten, as far as one stays retained.
        retain: at most so many stay retained, None: all.

    Raises:
        InputError: nobody is forgotten, somebody is both forgotten and retained, or fewer are
            retained than are to be drawn.
    """

    def __init__(
        self,
        forgotten: Collection[str],
        retained: Collection[str],
        *,
        few: int | None,
        unseen: int,
        retain: int | None,
        seed: int,
    ) -> None:
        order = sorted(set(retained))
        if not forgotten:
            raise InputError("no people to forget are left, expected at least one")
        if both := set(forgotten) & set(retained):
            raise InputError(
                f"{len(both)} people are both forgotten and retained, expected each in one subset"
            )
        if few is None:
            few = min(len(set(forgotten)), max(len(order) - 1 - unseen, 0))
        for name, number in (("few", few), ("unseen", unseen), ("retain", retain or 0)):
            if number < 0:
                raise InputError(f"--{name} {number}: expected 0 or more")
        if few + unseen > len(order):
            raise InputError(
                f"--few {few} and --unseen {unseen}: {len(order)} people are retained, expected "
                "at most as many"
            )
        random.Random(f"benchmark-{seed}").shuffle(order)
        self._split: dict[str, Split] = dict.fromkeys(forgotten, "forget")
        self._split.update(dict.fromkeys(order[:few], "few"))
        self._split.update(dict.fromkeys(order[few : few + unseen], "unseen"))
        rest = order[few + unseen :]
        self._split.update(dict.fromkeys(rest if retain is None else rest[:retain], "retain"))

    def split(self, person: str) -> Split | None:
        """Where the person belongs."""
        return self._split.get(person)
