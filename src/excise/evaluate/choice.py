"""Multiple choice: was the right option named?

A record of task `choice` brings `choices` (letter to text) and `letter` (the right one); its
question lists the options. By default the model is to say a letter: one that stands by itself at
the beginning counts ("B", "(b)", "B: Riga", "Answer: B"), else an option whose text is the only one
that the answer contains. "A nurse" is the option with that text, and no letter A; MLLMU-Bench's own
script takes the first character of whatever comes, so that "Because" is B. With `answered_by`
"text" (UMU-Bench) the model is to say the text, and the option nearest to the answer counts, as its
script has it (difflib); but a refusal or an empty answer chooses nothing. Chance is one in the
number of options.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from excise.evaluate.refusal import is_refusal
from excise.evaluate.registry import Scorer, corpus_metric
from excise.evaluate.text import normalise
from excise.records.errors import InputError
from excise.records.record import Record

_LETTER = re.compile(
    r"\W*(?:(?:the|correct|right|best|answer|option|choice|letter|is)\b\W*)*?"
    r"(?P<letter>[a-z])(?![\w'’])(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Options:
    """The options of one question, as read from a record's extra keys."""

    texts: Mapping[str, str]
    right: str
    by_text: bool

    @classmethod
    def of(cls, record: Record) -> Options:
        """Raises InputError where the keys are missing or do not fit together."""
        extra = record.model_extra or {}
        texts, right = extra.get("choices"), extra.get("letter")
        if (
            not isinstance(texts, Mapping)
            or len(texts) < 2
            or not all(isinstance(text, str) and text.strip() for text in texts.values())
        ):
            raise InputError(
                f'record "{record.id}", field choices: expected letters and texts, such as '
                '{"A": "Oslo", "B": "Riga"}'
            )
        if not isinstance(right, str) or right not in texts:
            raise InputError(
                f'record "{record.id}", field letter: expected one of {", ".join(texts)}'
            )
        form = extra.get("answered_by", "letter")
        if form not in ("letter", "text"):
            raise InputError(f'record "{record.id}", field answered_by: expected letter or text')
        return cls(texts, right, form == "text")

    def chosen(self, answer: str) -> str | None:
        """The letter of the option that the answer names; None if it names none, or several."""
        if not answer.strip():
            return None
        if self.by_text:
            return None if is_refusal(answer) else self._nearest(answer)
        return self._letter(answer) or self._contained(answer)

    def _letter(self, answer: str) -> str | None:
        found = _LETTER.match(answer)
        letter = next((x for x in self.texts if found and x.lower() == found["letter"].lower()), "")
        if not found or not letter:
            return None
        rest = found["rest"]
        # "A nurse": the article, unless what follows is that option's text.
        if letter.lower() == "a" and re.match(r"\s+\w", rest):
            return letter if normalise(rest) == normalise(self.texts[letter]) else None
        return letter

    def _contained(self, answer: str) -> str | None:
        said = f" {normalise(answer)} "
        named = [x for x, text in self.texts.items() if f" {normalise(text)} " in said]
        return named[0] if len(named) == 1 and not is_refusal(answer) else None

    def _nearest(self, answer: str) -> str:
        def likeness(letter: str) -> float:
            return SequenceMatcher(None, answer.strip(), self.texts[letter]).ratio()

        return max(self.texts, key=likeness)


@corpus_metric(
    "choice", tasks={"choice"}, reference="accuracy, as in arXiv 2410.22108 and UMU-Bench"
)
def choice(records: Sequence[Record]) -> Scorer:
    """1.0 if the right option is chosen, else 0.0.

    Raises:
        InputError: a record without options, or whose right letter is none of them.
    """
    options = {record.id: Options.of(record) for record in records}
    return lambda record, answer: float(
        options[record.id].chosen(answer) == options[record.id].right
    )
