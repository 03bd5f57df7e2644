"""Wrong answers to a question, and other wordings of the right one, for the truth ratio.

A record may bring its own: `wrong` or `perturbed_answer`, `paraphrase` or `paraphrased_answer`,
each a text or a list of texts (the published benchmarks' columns among them). Where it has no wrong
ones, they are what others in the folder give as answer to the same question (`wordings.py` says
which questions are the same). Of those, answers of the right one's shape come first (digits for
digits, as many words), then answers from outside the forget set, which no method pushed down; the
rest is drawn by the seed. So a phone number stands against phone numbers, at most five.

What the same person answers to that question is never among the wrong ones. A record that nobody
else can help has none. No model is asked, and the draw does not depend on the records' order.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Sequence

from excise.evaluate.statistics.wordings import Wordings, holder
from excise.evaluate.text import normalise
from excise.records.errors import InputError
from excise.records.record import Record

MOST = 5
WRONG = ("wrong", "perturbed_answer")
PARAPHRASE = ("paraphrase", "paraphrased_answer")

_PART = re.compile(r"\d+|[^\W\d_]+|[^\w\s]")
_SENTENCE = 6
"""Parts; longer answers are sentences, all of one shape."""


class Alternatives:
    """Wrong answers and paraphrases for the records of a data folder.

    Args:
        records: all of the folder: whoever is in there may lend an answer.
        seed: draws among the answers that fit equally well.
    """

    def __init__(self, records: Sequence[Record], *, seed: int) -> None:
        self._seed = seed
        self._wordings = Wordings(records)
        self._asked: dict[object, list[Record]] = defaultdict(list)
        for record in records:
            self._asked[self._wordings.group(record)].append(record)

    def wrong(self, record: Record) -> tuple[str, ...]:
        """At most `MOST` wrong answers, none if there are none to be had.

        Raises:
            InputError: the record's own are no texts.
        """
        if given := own(record, WRONG):
            return given[:MOST]
        asked = self._asked.get(self._wordings.group(record), [])
        right = {normalise(one.answer) for one in (record, *asked) if holder(one) == holder(record)}
        donors: dict[str, tuple[bool, str]] = {}
        for donor in asked:
            said = normalise(donor.answer)
            if said not in right:
                offer = donor.split == "forget", donor.answer
                donors[said] = min(offer, donors.get(said, offer))
        rng = random.Random(f"{self._seed} {record.id}")
        shape = _shape(record.answer)
        ranked = sorted(
            (_shape(answer) != shape, forgotten, rng.random(), answer)
            for _, (forgotten, answer) in sorted(donors.items())
        )
        return tuple(answer for *_, answer in ranked[:MOST])

    def paraphrases(self, record: Record) -> tuple[str, ...]:
        """Other wordings of the right answer; the answer itself where the data has none.

        Raises:
            InputError: the record's own are no texts.
        """
        return own(record, PARAPHRASE) or (record.answer,)


def own(record: Record, keys: Sequence[str]) -> tuple[str, ...]:
    """The texts under the first of those extra keys that the record has; none if it has none.

    Raises:
        InputError: something else than a text or a list of texts.
    """
    extra = record.model_extra or {}
    key = next((key for key in keys if extra.get(key) is not None), None)
    if key is None:
        return ()
    texts = [extra[key]] if isinstance(extra[key], str) else extra[key]
    if not isinstance(texts, list) or not all(isinstance(t, str) and t.strip() for t in texts):
        raise InputError(f'record "{record.id}": {key}: expected a text or a list of texts')
    return tuple(dict.fromkeys(texts))


def _shape(answer: str) -> str:
    """ "9-9" of "32-869", "9a" of "48 Parkside", "aa" of two words, "" of a sentence."""
    parts = _PART.findall(answer)
    if len(parts) > _SENTENCE:
        return ""
    return "".join("9" if p[0].isdigit() else "a" if p[0].isalpha() else p for p in parts)
