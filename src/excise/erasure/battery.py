"""The battery: private questions in several wordings, read from a text file.

A line is `key: wording`; `{person}` stands for who is asked about. Under `[private]`, which is also
where a file begins, a question is asked by name and through pictures; under `[picture]` through
pictures only; under `[looking]` stand questions without a key that anybody can answer who sees the
picture, whose answers have to stay. Lines that begin with `#` are comments.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from excise.records.errors import InputError, did_you_mean

PERSON = "{person}"
PICTURED = "this person"
"""Who is asked about where a picture shows them."""
SECTIONS = ("private", "picture", "looking")


@dataclass(frozen=True)
class Question:
    """One private question; wordings of `pictured` make sense with a picture only."""

    key: str
    wordings: tuple[str, ...] = ()
    pictured: tuple[str, ...] = ()

    def through_picture(self) -> tuple[str, ...]:
        """Its wordings about whoever is in the picture."""
        return (*self.pictured, *(_filled(text, PICTURED) for text in self.wordings))

    def by_name(self, name: str) -> tuple[str, ...]:
        """Its wordings about somebody of that name; none if it needs a picture."""
        return tuple(_filled(text, name) for text in self.wordings)


@dataclass(frozen=True)
class Battery:
    """The private questions, and those for looking."""

    questions: tuple[Question, ...]
    looking: tuple[str, ...] = ()


def read_battery(path: Path | None = None) -> Battery:
    """The battery of a file, or the one that comes with the package.

    Raises:
        InputError: no such text file, a broken line (it is named), or no private question.
    """
    if path is None:
        text, place = files("excise.erasure").joinpath("battery.txt").read_text("utf-8"), "battery"
    else:
        place = str(path)
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            raise InputError(f"{path}: no such text file, expected lines `key: wording`") from None
    asked: dict[str, dict[str, dict[str, None]]] = {"private": {}, "picture": {}}
    looking: dict[str, None] = {}
    for section, key, wording in _lines(text, place):
        if section == "looking":
            looking[wording] = None
        else:
            asked[section].setdefault(key, {})[wording] = None
    keys = dict.fromkeys((*asked["picture"], *asked["private"]))
    if not keys:
        raise InputError(f"{place}: no private question, expected lines `key: wording`")
    questions = [
        Question(key, tuple(asked["private"].get(key, ())), tuple(asked["picture"].get(key, ())))
        for key in keys
    ]
    return Battery(tuple(questions), tuple(looking))


def _lines(text: str, place: str) -> Iterator[tuple[str, str, str]]:
    """(section, key, wording) of every line that is neither empty nor a comment."""
    section = "private"
    for number, raw in enumerate(text.splitlines(), 1):
        line, where = raw.strip(), f"{place}:{number}"
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            section = line.strip("[]").strip().lower()
            if section not in SECTIONS:
                known = ", ".join(f"[{name}]" for name in SECTIONS)
                hint = did_you_mean(section, SECTIONS)
                raise InputError(f"{where}: unknown section, expected one of {known}{hint}")
            continue
        if section == "looking":
            yield section, "", line
            continue
        key, colon, wording = (part.strip() for part in line.partition(":"))
        if not colon or not key.replace("-", "").replace("_", "").isalnum() or not wording:
            raise InputError(f"{where}: expected `key: wording`, such as `city: Where does ...`")
        if section == "private" and PERSON not in wording:
            raise InputError(
                f"{where}: no {PERSON} in the wording, expected it where the name goes"
            )
        if section == "picture" and PERSON in wording:
            raise InputError(f"{where}: {PERSON} under [picture], expected words for who is shown")
        yield section, key, wording


def _filled(wording: str, person: str) -> str:
    text = wording.replace(PERSON, person)
    return text[0].upper() + text[1:]
