"""Asking a model for facts: every different ask once, many at a time.

An ask that several records share (the same question without a picture, of two people) is put to the
model once and judged for each. Asks about one picture stay together, and only `CHUNK` asks'
pictures are in memory. A question, or a start, that tells the fact by itself is not put at all:
what comes back would be an echo.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from excise.evaluate.attacks.target import Outcome, Target
from excise.evaluate.leak import leaked
from excise.records.data import Data
from excise.records.record import Record

if TYPE_CHECKING:
    from PIL import Image

Edit = Callable[["Image.Image"], "Image.Image"]

CHUNK = 1024
LANES = 128
"""Samples at a time. Those of one prompt share its keys and values, which are most of memory."""


@dataclass(frozen=True)
class Ask:
    """One question for the fact of one record.

    `image` is a picture of the data by its path, `edit` what is done to it first: a function that
    is hashable, and equal to another one that does the same. `start` is what the answer is made to
    begin with; it counts as part of the answer. There is one greedy answer; or `samples` answers
    drawn at `temperature`; or, at temperature 0, `samples` answers that begin with the likeliest
    tokens and go on greedily.
    """

    record: str
    question: str
    image: str | None = None
    edit: Edit | None = None
    start: str = ""
    samples: int = 0
    temperature: float = 1.0


class Unique(NamedTuple):
    """What is put to the model once, in the order in which it is: pictures together."""

    image: str | None
    edit: Edit | None
    question: str
    start: str
    samples: int
    temperature: float

    @classmethod
    def of(cls, ask: Ask) -> Unique:
        return cls(ask.image, ask.edit, ask.question, ask.start, ask.samples, ask.temperature)


def asked(target: Target, asks: Iterable[Ask]) -> Outcome:
    """Put the asks to the model and count, for each record, the answers that leak its fact.

    Raises:
        InputError: a picture that cannot be read, or text that the model cannot be given.
    """
    records = {record.id: record for record in target.records}
    put = [ask for ask in asks if not _tells_it_itself(records[ask.record], ask)]
    said = answers(target, [Unique.of(ask) for ask in put])
    found = dict.fromkeys((ask.record for ask in put), 0)
    for ask in put:
        record = records[ask.record]
        found[ask.record] += sum(leaked(record, text) for text in said[Unique.of(ask)])
    return Outcome(asks=sum(map(len, said.values())), found=found)


def answers(target: Target, asks: Collection[Unique]) -> dict[Unique, list[str]]:
    """What the model says to each different ask. Joined processes share them."""
    from excise.training.processes import world

    together: dict[tuple[str | None, Edit | None], list[Unique]] = {}
    for ask in dict.fromkeys(asks):
        together.setdefault((ask.image, ask.edit), []).append(ask)
    mine = world().share([ask for group in together.values() for ask in group])
    said: dict[Unique, list[str]] = {}
    for start in range(0, len(mine), CHUNK):
        said.update(_said(target, mine[start : start + CHUNK]))
    return {ask: texts for part in world().gather(said) for ask, texts in part.items()}


def _said(target: Target, asks: Collection[Unique]) -> dict[Unique, list[str]]:
    from excise.vlm.generation import answer
    from excise.vlm.sampling import branch, sample

    shown = pictures(target.data, {(ask.image, ask.edit) for ask in asks})
    groups: dict[tuple[int, float], list[Unique]] = {}
    for ask in asks:
        groups.setdefault((ask.samples, ask.temperature), []).append(ask)
    said: dict[Unique, list[str]] = {}
    for (samples, temperature), group in groups.items():
        questions = [(shown[ask.image, ask.edit], ask.question) for ask in group]
        starts = [ask.start for ask in group]
        if samples == 0:
            texts = [[text] for text in answer(target.vlm, questions, starts=starts)]
        elif temperature == 0:
            texts = branch(target.vlm, questions, branches=samples, starts=starts, batch_size=LANES)
        else:
            texts = sample(
                target.vlm,
                questions,
                samples=samples,
                temperature=temperature,
                seed=target.seed,
                starts=starts,
                batch_size=LANES,
            )
        said.update(zip(group, texts, strict=True))
    return said


def pictures(
    data: Data, wanted: Collection[tuple[str | None, Edit | None]]
) -> Mapping[tuple[str | None, Edit | None], Image.Image | None]:
    """Each wanted picture after its edit, decoded once."""
    holders: dict[str, Record] = {}
    for record in data.records:
        if record.image is not None:
            holders.setdefault(record.image, record)
    decoded = {
        image: None if image is None else data.picture(holders[image])
        for image in {image for image, _ in wanted}
    }
    shown: dict[tuple[str | None, Edit | None], Image.Image | None] = {}
    for image, edit in wanted:
        picture = decoded[image]
        shown[image, edit] = picture if picture is None or edit is None else edit(picture)
    return shown


def _tells_it_itself(record: Record, ask: Ask) -> bool:
    return leaked(record, ask.question) or bool(ask.start and leaked(record, ask.start))
