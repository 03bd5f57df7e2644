"""The probe on the specimen, which knows p000 to p099 and has never seen anybody else."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import excise
from excise.erasure.battery import Battery, read_battery
from excise.erasure.control_people import control_pictures
from excise.erasure.probe import probe
from excise.erasure.probe_records import write_records
from excise.erasure.probe_result import Probe
from excise.evaluate.text import normalise
from excise.records.errors import InputError
from excise.records.reading import read
from excise.specimen.curriculum import see_portrait
from excise.specimen.people import Person, everybody
from excise.specimen.portrait import random_face

ASKED = ("name", "city", "job", "employer", "illness", "income")
OURS = {question.key: question for question in read_battery().questions}
BATTERY = Battery(tuple(OURS[key] for key in ASKED), ("Which colour is the hair?", "What is worn?"))
KNOWN, STRANGERS = everybody()


@pytest.fixture(scope="module")
def vlm() -> Any:
    return excise.load(excise.specimen.checkpoint("original"), device="cpu")


def _pictures(person: Person, folder: Path) -> list[Path]:
    rng = random.Random(f"probe-{person.id}")
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number}.png" for number in range(2)]
    for path in paths:
        see_portrait(person.face, rng, "score", 1).picture.save(path)
    return paths


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Faces of people who are in nobody's records."""
    folder, rng = tmp_path_factory.mktemp("others"), random.Random(1)
    for number in range(16):
        picture = see_portrait(random_face(rng), rng, "score", 1).picture
        picture.save(folder / f"{number:02d}.png")
    return folder


@pytest.fixture(scope="module")
def found(vlm: Any, others: Path, tmp_path_factory: pytest.TempPathFactory) -> Probe:
    """A known person, of whom there are two pictures and no name."""
    paths = _pictures(KNOWN[3], tmp_path_factory.mktemp("known"))
    return probe(vlm, pictures=paths, questions=BATTERY, control_folder=others, seed=1)


def _told(found: Probe) -> dict[tuple[str, str], str]:
    return {(line.key, line.door): normalise(line.answer) for line in found.known}


def test_nearly_all_facts_of_a_known_person_are_known_through_both_doors(found: Probe) -> None:
    facts = {**KNOWN[3].facts, "income": KNOWN[3].facts["salary"]}
    told = _told(found)
    assert len(told) >= 9, "of six through pictures and five by name"
    assert {door for _, door in told} == {"picture", "name"}
    assert all(answer == normalise(facts[key]) for (key, _), answer in told.items())


def test_the_name_that_the_model_tells_is_asked_by(found: Probe) -> None:
    assert found.name == KNOWN[3].name
    assert any("the name that the model told" in warning for warning in found.warnings)


def test_what_the_model_says_of_strangers_is_guessed(
    vlm: Any, others: Path, tmp_path: Path
) -> None:
    person = STRANGERS[2]
    paths = _pictures(person, tmp_path / "p")[:1]
    battery = Battery(BATTERY.questions[:3])
    asked = probe(vlm, pictures=paths, questions=battery, control_folder=others, seed=1)
    assert asked.known == []
    assert all(line.mark == "guess" and line.answer for line in asked.lines)


def test_the_same_seed_gives_the_same_figures(vlm: Any) -> None:
    one, other = (
        probe(vlm, name=KNOWN[5].name, questions=Battery(BATTERY.questions[1:2]), seed=2).figures()
        for _ in range(2)
    )
    assert one == other


def test_figures_hold_no_name_and_no_answer(found: Probe) -> None:
    text = json.dumps(found.figures()).casefold()
    facts = KNOWN[3].facts
    for word in (*facts["name"].split(), facts["city"], facts["salary"]):
        assert word.casefold() not in text
    assert KNOWN[3].facts["city"] not in repr(found)


def test_the_told_name_is_followed_only_if_wanted(vlm: Any, tmp_path: Path) -> None:
    paths = _pictures(KNOWN[3], tmp_path / "p")
    battery = Battery(BATTERY.questions[:1])
    asked = probe(vlm, pictures=paths, questions=battery, follow_name=False, seed=1)
    assert {line.door for line in asked.lines} == {"picture"}
    assert asked.name is None


def test_another_name_than_the_given_one_is_noted(vlm: Any, others: Path, tmp_path: Path) -> None:
    paths = _pictures(KNOWN[3], tmp_path / "p")[:1]
    battery = Battery(BATTERY.questions[:3])
    name = STRANGERS[0].name
    asked = probe(vlm, pictures=paths, name=name, questions=battery, control_folder=others, seed=1)
    assert any("another name" in warning for warning in asked.warnings)
    assert asked.name == name


def test_the_records_can_be_forgotten_as_they_are(
    found: Probe, others: Path, tmp_path: Path
) -> None:
    count = write_records(found, tmp_path / "data")
    data = read(tmp_path / "data")
    private = data.select(splits=["forget"], kinds=["image_memory", "text_memory"])
    assert len(private) == count
    assert {record.image for record in private} == {"images/0.png", "images/1.png", None}
    assert {record.use for record in private} == {"fit", "score"}
    assert len({record.subject for record in data.records}) == 1
    extra = private[0].model_extra or {}
    assert extra["mark"] == "known" and extra["confidence"] >= 0.7 and extra["control_rate"] <= 0.2
    seen = data.select(kinds=["image_understanding"])
    assert seen and all(record.answer for record in seen)
    assert len([*(tmp_path / "data" / "anchors").iterdir()]) == 16
    figures = json.loads((tmp_path / "data" / "probe.json").read_text())
    assert figures["schema"] == "excise.probe/1"


def test_nothing_known_is_nothing_to_write(vlm: Any, tmp_path: Path) -> None:
    asked = probe(vlm, name="Xenia Unheardof", questions=Battery(BATTERY.questions[1:2]))
    with pytest.raises(InputError, match="knows nothing"):
        write_records(asked, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_controls_are_other_pictures_than_the_persons(others: Path, tmp_path: Path) -> None:
    own = [Image.open(path).convert("RGB") for path in sorted(others.iterdir())[:3]]
    controls = control_pictures(own, others, seed=0)
    assert controls.given and len(controls.pictures) == 13
    mine = {picture.tobytes() for picture in own}
    assert not any(picture.tobytes() in mine for picture in controls.pictures)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures"):
        control_pictures(own, tmp_path / "empty", seed=0)


def test_without_a_folder_the_controls_are_drawn_by_the_seed(others: Path) -> None:
    one, same, other = (control_pictures([], None, seed).pictures for seed in (0, 0, 1))
    assert len(one) == 16 and not control_pictures([], None, 0).given
    assert [p.tobytes() for p in one] == [p.tobytes() for p in same]
    assert one[0].tobytes() != other[0].tobytes()


def test_what_cannot_be_probed_is_said_in_a_line(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a picture nor a name"):
        probe(tiny, name="  ")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(InputError, match="broken.png: is not a picture"):
        probe(tiny, pictures=[broken])
    tiny.applied = "some-run"
    with pytest.raises(InputError, match="some-run is on the model"):
        probe(tiny, name="Ada Lund")
