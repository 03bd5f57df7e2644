"""Which records a method may learn from, and which of them are held out for choosing a dial.

A method sees `forget` and `few`; `retain` and `unseen` are for scoring. To be forgotten are private
records (image and text memory); what anyone can see on the same pictures is not. A record is held
out only if another one with the same subject, kind and answer stays, so no fact goes unlearnt.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from excise.evaluate.evaluate import ask
from excise.evaluate.leak import leaked
from excise.methods.method import Method
from excise.records.data import Data
from excise.records.errors import InputError
from excise.records.record import Kind, Record
from excise.vlm.load import VLM

PRIVATE: tuple[Kind, ...] = ("image_memory", "text_memory")
SHARE = 0.2
CHANCE = 0.1
"""Share of a person's records that may be answered truly by chance."""


def to_forget(data: Data) -> list[Record]:
    """The private records of the forget set that a method may learn from."""
    found = data.select(splits=["forget"], kinds=PRIVATE, use="fit")
    if not found:
        raise InputError(
            f"{data.folder}: no image_memory or text_memory records of split forget to learn from"
        )
    return found


def retained(data: Data, method: Method) -> list[Record]:
    """The few retained records, of every kind, if the method has a use for them."""
    if "few" not in (*method.needs, *method.takes):
        return []
    found = data.select(splits=["few"], use="fit")
    if not found and "few" in method.needs:
        raise InputError(f"{data.folder}: no records of split few, which {method.name} needs")
    return found


def forgotten_already(vlm: VLM, data: Data, records: Sequence[Record]) -> frozenset[str]:
    """Subjects of whose records the model as it is tells next to nothing: at most `CHANCE`."""
    told: dict[str, list[float]] = {}
    for record, said in zip(records, ask(vlm, data, records), strict=True):
        if record.subject is not None:
            told.setdefault(record.subject, []).append(leaked(record, said))
    return frozenset(subject for subject, found in told.items() if fmean(found) <= CHANCE)


def hold_out(
    records: Sequence[Record], seed: int, share: float = SHARE
) -> tuple[list[Record], list[Record]]:
    """Split into what is learnt from and what is held out, at most `share` of the records."""

    def fact(record: Record) -> tuple[object, ...]:
        return record.split, record.subject, record.kind, record.answer.casefold()

    left = Counter(fact(record) for record in records)
    held: set[str] = set()
    order = random.Random(f"held-out-{seed}").sample(records, len(records))
    for record in order:
        if len(held) + 1 > share * len(records):
            break
        if left[fact(record)] > 1:
            left[fact(record)] -= 1
            held.add(record.id)
    return [r for r in records if r.id not in held], [r for r in records if r.id in held]
