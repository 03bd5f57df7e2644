"""The last look before something is signed or shown: is anything of the forgotten people in it?

What is written is meant to hold no subject, question or answer to begin with; this catches what got
in by another way, such as a model that was named after a person. The rule, on all text in the body
(numbers are figures and counts, and no text), words compared without their case and whatever stands
between them:

- subjects of three characters or more, questions of three words or more, and answers of several
  words, wherever they stand as whole words;
- single words of four letters or more: a one-word answer, a capitalised word of a subject or of an
  answer of up to three words, or one inside a question, where names stand. In running text (four
  words or more) such a word counts only with a capital, as it stands in the data, since "painter"
  and "general" say nothing there; words that are this format's own (keys, names of attacks and
  figures) do not count;
- numbers of five digits or more. Shorter ones (a year, "3"), "Yes" and the like are not looked for:
  by themselves they say nothing about anybody, and every count would be taken for one.

A net with meshes, then, and no proof: an answer in other words goes through.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from excise.records.errors import InputError

if TYPE_CHECKING:
    from excise.records.data import Data

_WORD = re.compile(r"[^\W_]+")
_NO_SPACES = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]")
"""Letters of scripts that are written without spaces: there, any place counts."""
_PROSE, _NAME, _LETTERS, _DIGITS = 4, 3, 4, 5
_OURS = frozenset({"attack", "family", "by", "figure", "bound", "status", "preset", "schema"})
"""Keys whose values are words of this format."""
_GENERAL = "general."
"""Figures that are named after a folder of the user's."""
_THEIRS = "|files"
"""Mark of a place whose keys are names of files."""


def no_personal_data(body: Mapping[str, Any], data: Data) -> None:
    """See that no subject, private question or private answer of the data is in `body`.

    Raises:
        InputError: one is; the part of the body is named, what was found is not.
    """
    texts = list(_texts(body))
    ours = frozenset(word for text in texts if text.ours for word in _words(text.text))
    sought = _Sought.of(data)
    for text in texts:
        what = sought.found_in(text, ours)
        if what is not None:
            raise InputError(
                f"evidence: {text.place}: holds {what} of the data, expected nothing personal; "
                "nothing is signed"
            )


class _Text(NamedTuple):
    """A key or a text of the body."""

    place: str
    text: str
    ours: bool
    """Whether its words are this format's own."""


@dataclass
class _Sought:
    """What is looked for, words in lower case."""

    sequences: dict[str, dict[tuple[str, ...], str]] = field(default_factory=dict)
    """Several words, by the first of them, and what they are."""
    words: dict[str, str] = field(default_factory=dict)
    """Single words, and how the data spell them."""
    pieces: dict[str, str] = field(default_factory=dict)
    """Text in scripts without spaces."""

    @classmethod
    def of(cls, data: Data) -> _Sought:
        sought = cls()
        for subject in {r.subject for r in data.records if r.subject}:
            if not sought._unspaced(subject, "a subject"):
                sought._whole(_words(subject), "a subject", _NAME)
                sought._names(_WORD.findall(subject))
        private = [r for r in data.records if r.kind in ("image_memory", "text_memory")]
        for question in {r.question for r in private}:
            if not sought._unspaced(question, "a question"):
                words = _WORD.findall(question)
                if len(words) >= _NAME:
                    sought._whole(_words(question), "a question", _LETTERS)
                sought._names(words[1:])
        for answer in {r.answer for r in private}:
            if not sought._unspaced(answer, "an answer"):
                words = _WORD.findall(answer)
                if len(words) > 1 or answer.strip().isdigit():
                    sought._whole(_words(answer), "an answer", _LETTERS)
                if len(words) == 1 and len(words[0]) >= _LETTERS and words[0].isalpha():
                    sought.words[words[0].casefold()] = words[0]
                elif len(words) <= _NAME:
                    sought._names(words)
        return sought

    def _unspaced(self, text: str, what: str) -> bool:
        found = _NO_SPACES.search(text) is not None and len(text.strip()) > 1
        if found:
            self.pieces[text.strip().casefold()] = what
        return found

    def _whole(self, words: Sequence[str], what: str, shortest: int) -> None:
        whole = "".join(words)
        if len(whole) >= (_DIGITS if whole.isdigit() else shortest):
            self.sequences.setdefault(words[0], {})[tuple(words)] = what

    def _names(self, words: Sequence[str]) -> None:
        for word in words:
            if len(word) >= _LETTERS and word.isalpha() and word[0].isupper():
                self.words[word.casefold()] = word

    def found_in(self, text: _Text, ours: frozenset[str]) -> str | None:
        """What of it is in a text, in words that give nothing away."""
        folded, spelt = text.text.casefold(), _WORD.findall(text.text)
        for piece, what in self.pieces.items():
            if piece in folded:
                return what
        words = [word.casefold() for word in spelt]
        for i, word in enumerate(words):
            for sequence, what in self.sequences.get(word, {}).items():
                known = len(sequence) == 1 and word in ours
                if not known and tuple(words[i : i + len(sequence)]) == sequence:
                    return what
        prose = len(text.text.split()) >= _PROSE
        for word, original in zip(words, spelt, strict=True):
            if word in ours or word not in self.words:
                continue
            if not prose or (original[0].isupper() and original == self.words[word]):
                return "a word of a subject, a question or an answer"
        return None


def _texts(value: object, place: str = "", *, ours: bool = False) -> Iterator[_Text]:
    """Every key and every text; `place` is the first key, and the place in its list."""
    if isinstance(value, str):
        yield _Text(place, value, ours)
    elif isinstance(value, Mapping):
        files = place.endswith(_THEIRS)
        for key, inner in value.items():
            here = place.removesuffix(_THEIRS) or key
            yield _Text(here, key, not files and _GENERAL not in key)
            yield from _texts(inner, here + (_THEIRS if key == "files" else ""), ours=key in _OURS)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _texts(inner, place if "[" in place else f"{place}[{i}]", ours=ours)


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]
