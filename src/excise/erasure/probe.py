"""What an untouched model knows of a person, asked of the model itself.

A request for erasure may bring nothing but a picture or a name. The probe asks the whole battery
(`battery.txt`) through each picture and by name, asks the same about control people whom the model
cannot know, and marks every question `known`, `guess` or `refused` (`guesses.py` has the rule). If
the model tells the person's name from the pictures, the battery is asked by that name too: a
memory behind one door is often behind the other.

Answers are kept in the `Probe` and nowhere else; `Probe.figures` has none of them. On the specimen,
with one thread of a busy machine, two pictures and a name take about 30 s.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from excise.erasure.asking_people import Asked, Door, hear, look, with_views
from excise.erasure.battery import Battery, Question, read_battery
from excise.erasure.control_people import control_names, control_pictures
from excise.erasure.guesses import Belief, belief, content, control_rate, mark, recognition
from excise.erasure.probe_result import Line, Probe
from excise.records.errors import InputError
from excise.records.pictures import decode_picture

if TYPE_CHECKING:
    from excise.vlm.load import VLM

NAME = "name"
"""Key of the question that asks who it is."""
VIEWS, CONTROL_VIEWS = 1, 1
"""New views of each picture of the person, and of each control picture."""
_NAMELIKE = re.compile(r"[^\W\d_a-z][\w'-]*(?: [^\W\d_a-z][\w'-]*)+")


def probe(
    vlm: VLM,
    *,
    pictures: Sequence[str | Path] = (),
    name: str | None = None,
    questions: Battery | None = None,
    control_folder: str | Path | None = None,
    follow_name: bool = True,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> Probe:
    """Ask an untouched model what it knows of the person in the pictures, or of that name.

    Args:
        questions: `read_battery`; the package's own if not given.
        control_folder: pictures of other people; drawn faces if not given.
        follow_name: ask by the name that the model tells, where none is given.
        progress: is told `(stage, done, total)`.

    Raises:
        InputError: neither picture nor name, a picture that cannot be read, a run on the model, or
            no control pictures in the folder.
    """
    shown, name = check_person(pictures, name)
    if vlm.applied is not None:
        raise InputError(f"run {vlm.applied} is on the model, expected the untouched one")
    battery = questions or read_battery()
    folder = None if control_folder is None else Path(control_folder)
    tell = progress or (lambda stage, done, total: None)
    warnings: list[str] = []
    lines: list[Line] = []
    seen: list[tuple[int, str, str]] = []
    controls = control_pictures(shown, folder, seed) if shown else None
    if controls is not None:
        if not controls.given:
            warnings.append(
                "the control pictures are drawn faces, so the control rates through pictures are "
                "lower bounds; give a folder of other people's pictures (--control-pictures)"
            )
        people = [
            Asked(with_views(shown, VIEWS, f"views-{seed}")),
            *(
                Asked(
                    with_views([picture], CONTROL_VIEWS, f"control-views-{seed}-{number}"),
                    spread=True,
                )
                for number, picture in enumerate(controls.pictures)
            ),
        ]
        lines += _lines(vlm, people, battery.questions, "picture", tell)
        told = _name_told(lines)
        if told is not None and name is not None and not _same_name(told, name):
            warnings.append(
                "the model calls the person in the pictures by another name than the given one: "
                "it takes them for somebody else, or the pictures are of somebody else"
            )
        if name is None and told is not None and follow_name:
            name = told
            warnings.append("asked by the name that the model told from the pictures")
        seen = _look(vlm, shown, battery.looking, lines)
    if name is not None:
        people = [Asked(name=one) for one in (name, *control_names(seed, [name]))]
        lines += _lines(vlm, people, battery.questions, "name", tell)
    given = controls.pictures if controls is not None and controls.given else ()
    return Probe(
        tuple(lines), tuple(shown), name, tuple(seen), given, vlm.name, seed, tuple(warnings)
    )


def check_person(
    pictures: Sequence[str | Path], name: str | None
) -> tuple[list[Image.Image], str | None]:
    """The pictures in RGB, and the name with single blanks.

    Raises:
        InputError: neither is given, or a picture cannot be read.
    """
    name = " ".join((name or "").split()) or None
    if not pictures and name is None:
        raise InputError("neither a picture nor a name, expected at least one of them")
    shown = []
    for path in pictures:
        try:
            shown.append(decode_picture(Path(path)))
        except ValueError as reason:
            raise InputError(f"{path}: {reason}") from None
    return shown, name


def _lines(
    vlm: VLM,
    people: Sequence[Asked],
    questions: Sequence[Question],
    door: Door,
    tell: Callable[[str, int, int], None],
) -> list[Line]:
    """A line a question; the first of the people is the one in question."""
    stage = {"picture": "asking by picture", "name": "asking by name"}[door]
    heard = hear(vlm, people, questions, lambda done, total: tell(stage, done, total))
    beliefs: list[dict[str, Belief]] = [{} for _ in people]
    for (number, key, _), answers in heard.items():
        beliefs[number][key] = belief(answers)
    own, *others = beliefs
    recognised = recognition([*own.values()])
    controls = [(other, recognition([*other.values()])) for other in others]
    return [
        _line(key, door, found, recognised, [(other[key], whole) for other, whole in controls])
        for key, found in own.items()
    ]


def _line(
    key: str, door: Door, found: Belief, recognised: float, controls: Sequence[tuple[Belief, float]]
) -> Line:
    rate = control_rate(found, recognised, controls)
    return Line(
        key=key,
        door=door,
        mark=mark(found, rate),
        confidence=found.confidence,
        agreement=found.agreement,
        recognition=recognised,
        control=rate,
        asks=len(found.heard),
        wordings=tuple(dict.fromkeys(h.question for h in found.heard)),
        answer=found.answer,
        content=found.content,
    )


def _look(
    vlm: VLM, shown: Sequence[Image.Image], looking: Sequence[str], lines: Sequence[Line]
) -> list[tuple[int, str, str]]:
    """What the model sees on the pictures; answers that give away what it knows are left out."""
    known = [line.content for line in lines if line.mark == "known"]
    return [
        (number, question, answer)
        for number, question, answer in look(vlm, shown, looking)
        if not any(wanted <= content(question, answer) for wanted in known)
    ]


def _name_told(lines: Sequence[Line]) -> str | None:
    """The name in the answer to who it is, if that is known."""
    for line in lines:
        if line.key == NAME and line.door == "picture" and line.mark == "known":
            found = _NAMELIKE.search(line.answer)
            return found[0] if found else line.answer.strip(" .")
    return None


def _same_name(one: str, other: str) -> bool:
    return not {*one.casefold().split()}.isdisjoint(other.casefold().split())
